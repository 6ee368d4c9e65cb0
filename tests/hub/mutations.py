"""Breaks the hub client on purpose, one point of docs/hub.md at a time, and sees whether that point's tests notice.

usage: mutations.py [--work DIR] [--only REGEX] [--jobs 2]

Works on a copy of src/, include/, tests/ and cmake/; nothing in the project is changed. Exit status 1 where a mutation
survives or no longer applies to the source.
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]

# (points, test program, filter, [(file below src/hub, text, replacement)])
MUTATIONS = [
    ("P01 revision not encoded", "protocol", "*P01*", [("http/url.cpp", '"/resolve/" + quote(revision, false)', '"/resolve/" + quote(revision, true)')]),
    ("P02 organisation demanded", "protocol", "*P02*", [("../base/repo_names.cpp", "? is_repo_part(id)", "? false")]),
    ("P03 gzip accepted", "protocol", "*P03*", [("http/exchange.cpp", "Accept-Encoding: identity", "Accept-Encoding: gzip")]),
    ("P04 query of a redirect dropped", "protocol", "*P04*", [("http/url.cpp", "curl_url_set(url.get(), CURLUPART_FRAGMENT, nullptr, 0);\n  std::string resolved", "curl_url_set(url.get(), CURLUPART_QUERY, nullptr, 0);\n  std::string resolved")]),
    ("P05 weak etags kept weak", "protocol", "*P05*", [("download/metadata.cpp", 'if (header.starts_with("W/")) header.remove_prefix(2);', "")]),
    ("P06 plain ETag preferred", "protocol", "*P06*", [("download/metadata.cpp", 'linked.empty() ? head.value("etag") : linked', 'head.value("etag")')]),
    ("P07 metadata taken from the CDN", "protocol", "*P07*", [("http/url.cpp", "return same_origin(from, to) ||", "return true || same_origin(from, to) ||")]),
    ("P08 a missing size is zero", "protocol", "*P08*", [("download/metadata.cpp", 'redirect ? "" : head.value("content-length"));', 'redirect ? "" : head.value("content-length")).value_or(0);')]),
    ("P08 P46 commits not checked", "protocol", "*P08*:*P46*", [("download/metadata.cpp", "if (!is_commit(metadata.commit))", "if (false)")]),
    ("P09 token sent everywhere", "protocol", "*P09*", [("http/exchange.cpp", "request.with_token && !options.token.empty()", "!options.token.empty()")]),
    ("P10 sixty redirects", "protocol", "*P10*", [("http/fetch.cpp", "++redirects_ >= kMaxRedirects", "++redirects_ >= 3 * kMaxRedirects")]),
    ("P12 slash of the endpoint kept", "protocol", "*P12*", [("environment.cpp", "while (endpoint.ends_with('/')) endpoint.pop_back();", "")]),
    ("P12 empty variables count", "protocol", "*P12*", [("environment.cpp", "value == nullptr || *value == '\\0'", "value == nullptr")]),
    ("P12 proxy ignored", "protocol", "*P12*", [("http/exchange.cpp", "proxy_for(options, request.url).c_str()", '""')]),
    ("P13 links not deepened", "protocol", "*P13*", [("cache/paths.cpp", "if (c == '/') target += \"../\";", "static_cast<void>(c);")]),
    ("P13 newline in the ref", "protocol", "*P13*", [("cache/store.cpp", "file.write(commit);", 'file.write(commit + "\\n");')]),
    ("P13 private blobs", "protocol", "*P13*", [("download/partial_file.cpp", "kMode = 0666", "kMode = 0600")]),
    ("P16 shared store not known", "protocol", "*P16*", [("cache/paths.cpp", "if (!target.starts_with(kStore)) return false;", "if (!target.empty()) return false;")]),
    ("P17 dangling links count", "protocol", "*P17*", [("cache/store.cpp", "return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);", "return ::lstat(path.c_str(), &status) == 0;")]),
    ("P18 pinned files asked for", "protocol", "*P18*", [("download/shared_download.cpp", "if (look.cached && (pinned || offline))", "if (look.cached && offline)")]),
    ("P19 known blobs fetched again", "protocol", "*P19*", [("cache/store.cpp", "if (S_ISREG(status.st_mode)) return true;", "")]),
    ("P20 offline ignored", "protocol", "*P20*", [("download/shared_download.cpp", "const bool offline = request_.options->offline;", "const bool offline = false;")]),
    ("P21 absence forgotten", "protocol", "*P21*", [("cache/store.cpp", 'write_new_file(path, "");', "")]),
    ("P22 refs must be writable", "protocol", "*P22*", [("download/shared_download.cpp", "return place;  // a read-only cache serves what it has", "throw;")]),
    ("P23 symlinks all the same", "protocol", "*P23*", [("download/shared_download.cpp", "if (request.options->symlinks) {", "if (!request.file.empty()) {")]),
    ("P25 P28 no lock", "concurrency", "*P25*:*P28*", [("cache/file_lock.cpp", "if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {", "if (fd.get() < 0) {")]),
    ("P27 one who leaves ends it for all", "concurrency", "*P27*", [("download/shared_download.cpp", "const bool last = waiters_.empty();\n  if (last) enter(Phase::closed);", "const bool last = waiters_.empty();\n  enter(Phase::closed);")]),
    ("P28 the lock is waited for on a thread", "concurrency", "*P28*", [("cache/file_lock.cpp", "LOCK_EX | LOCK_NB", "LOCK_EX")]),
    ("P30 a pruned partial is not noticed", "concurrency", "*P30*", [("download/partial_file.cpp", "if (!is_in_place()) write_again();", ""), ("download/partial_file.cpp", 'if (errno != ENOENT) throw io_error("create", destination, errno);', 'throw io_error("create", destination, errno);')]),
    ("P31 broken connections are final", "fault", "*P31*", [("http/exchange.cpp", "failure.retry = !certificate", "failure.retry = certificate")]),
    ("P32 P08 the end of a body of unknown size is not seen", "protocol", "*P08*", [("download/transfer.cpp", "const bool body_ended = clean && !ignore && !sized;", "const bool body_ended = false;")]),
    ("P33 hash not compared", "fault", "*P33*", [("download/transfer.cpp", "if (digest == announced.etag)", "if (!digest.empty())")]),
    ("P33 no second try", "fault", "*P33*", [("download/transfer.cpp", "++contradictions_ >= 2", "++contradictions_ >= 1")]),
    ("P34 Content-Range not read", "fault", "*P34*", [("download/transfer.cpp", "const bool honest = range &&", "const bool honest = range || ")]),
    ("P34 a 200 taken for a 206", "fault", "*P34*", [("download/transfer.cpp", "if (!stream.piece.whole) take_whole(stream);", "")]),
    ("P35 416 is final", "fault", "*P35*", [("download/transfer.cpp", "if (failure.context.http_status == 416) {", "if (failure.context.http_status == 1416) {")]),
    ("P36 429 is final", "fault", "*P36*", [("http/answer.cpp", "status == 408 || status == 429 ||", "status == 408 ||")]),
    ("P36 Retry-After not honoured", "fault", "*P36*", [("http/answer.cpp", "failure.wait = failure.retry ? requested_wait(head, now) : std::nullopt;", "static_cast<void>(now);")]),
    ("P37 5xx is final", "fault", "*P37*", [("http/answer.cpp", "(status >= 500 && status != 501 && status != 505)", "false")]),
    ("P38 expired URLs are final", "fault", "*P38*", [("download/transfer.cpp", "return status == 401 || status == 403 || status == 404 || status == 410;", "return status == 1;")]),
    ("P39 stalls not seen", "fault", "*P39_Stall*", [("http/exchange.cpp", "if (stall_timeout_.count() > 0) watch_for_stall();", "")]),
    ("P39 one byte is enough", "fault", "*P39_Slow*", [("http/exchange.cpp", "kStallBytesPerSecond = 1024", "kStallBytesPerSecond = 0")]),
    ("P40 certificates not verified", "fault", "*P40*", [("http/exchange.cpp", "set(easy, CURLOPT_NOSIGNAL, 1L);", "set(easy, CURLOPT_NOSIGNAL, 1L);\n  set(easy, CURLOPT_SSL_VERIFYPEER, 0L);\n  set(easy, CURLOPT_SSL_VERIFYHOST, 0L);")]),
    ("P40 downgrade allowed", "fault", "*P40*", [("http/url.cpp", 'return before && before->scheme == "https" &&', 'return false && before->scheme == "https" &&')]),
    ("P41 write errors ignored", "fault", "*P41*", [("download/partial_file.cpp", 'throw io_error("make room in", path_, errno);', "return;"), ("download/partial_file.cpp", 'if (count < 0) throw io_error("write", path_, errno);', "if (count < 0) return;")]),
    ("P42 nothing resumed", "big", "*P42_Resume*", [("download/partial_file.cpp", "return resumed_.total() > 0;", "return false;")]),
    ("P43 P37 cached copy not used", "fault", "*P43*:*P37_AStorm*", [("download/shared_download.cpp", "if (cached_) return succeed(*cached_, true);", "")]),
    ("P44 gated not told apart", "fault", "*P44*", [("http/answer.cpp", 'code == "GatedRepo"', 'code == "Gated"')]),
    ("P44 bare 401 not told apart", "fault", "*P44*", [("http/answer.cpp", "|| bare_401)", "|| (bare_401 && false))")]),
    ("P45 file names not checked", "protocol", "*P45*", [("../base/repo_names.cpp", 'if (!is_contained(file)) refuse("file name"', 'if (file.empty()) refuse("file name"')]),
    ("P46 etags not checked", "protocol", "*P46*", [("../base/repo_names.cpp", "return (text.size() == 40 || text.size() == 64) && is_lower_hex(text);", "return !text.empty();")]),
    ("P47 links followed when the partial is made", "protocol", "*P47*", [("download/partial_file.cpp", "kFlags = O_RDWR | O_NOFOLLOW", "kFlags = O_RDWR"), ("download/partial_file.cpp", "::unlink(path_.c_str());\n  fd_ = UniqueFd(::open(path_.c_str(), kFlags | O_CREAT | O_EXCL, kMode));", "fd_ = UniqueFd(::open(path_.c_str(), kFlags | O_CREAT | O_TRUNC, kMode));")]),
    ("P48 memory for the announced size", "protocol", "*P48*", [("download/partial_file.cpp", "void PartialFile::set_size(std::uint64_t size) {", "void PartialFile::set_size(std::uint64_t size) {\n  std::vector<char> all(size, 'x');\n  if (all.size() == 1) all.pop_back();")]),
    ("cache: links that the client does not write are dead", "cache", "*Cache*", [("cache/links.cpp", "if (target.is_absolute()) at = \"/\";", "if (target.is_absolute()) break;")]),
    ("cache: hard links are no blobs", "cache", "*Cache*", [("cache/links.cpp", "return found == contents_.end() ? std::string() : found->second;", "return {};")]),
    ("cache: linked repositories are left out", "cache", "*Cache*", [("cache/scan.cpp", "|| !is_folder(folder)) continue;", "|| !is_real_folder(folder)) continue;")]),
    ("cache: folders in themselves", "cache", "*Cache*", [("cache/links.cpp", "if (!id || std::find(above_.begin(), above_.end(), *id) != above_.end()) return;", "if (!id) return;")]),
    ("cache: FIFOs are opened", "cache", "*Cache*", [("cache/scan.cpp", "if (is_commit(revision) || !is_file(ref)) return;", "if (is_commit(revision)) return;"), ("cache/store.cpp", "return read_text_file(path, kMaxBytes);", "std::ifstream in(path); std::string text; std::getline(in, text); return text;"), ("cache/store.cpp", "#include <fcntl.h>", "#include <fcntl.h>\n#include <fstream>")]),
    ("cache repair: the damaged blob stays", "cache", "*Cache*", [("cache/verify.cpp", "if (problem.kind == cache::Problem::Kind::damaged) remove_file(paths.blob(problem.blob));", "")]),
    ("cache repair: its names stay", "cache", "*Cache*", [("cache/verify.cpp", "remove_names(paths, problem);\n    if", "if")]),
    ("cache repair: names behind linked folders go", "cache", "*Cache*", [("cache/links.cpp", "if (!is_real_folder(folder)) return false;", "")]),
    ("cache repair: not looked at again", "cache", "*Cache*", [("cache/verify.cpp", "if (is_mended(paths, problem)) return;", "")]),
    ("cache rm: what other revisions use goes", "cache", "*Cache*", [("cache/remove.cpp", "if (uses.contain(entry)) {", "if (false) {")]),
    ("cache rm: names of other models do not count", "cache", "*Cache*", [("cache/links.cpp", "return has_name(path) || (own", "return (own")]),
    ("cache rm: snapshots that others lead into go", "cache", "*Cache*", [("cache/remove.cpp", "if (used.empty()) return;", "return;")]),
    ("cache rm: linked folders on the way do not count", "cache", "*Cache*", [("cache/links.cpp", "if (has_name(path)) return path;", "if (!is_folder(path) && has_name(path)) return path;")]),
    ("cache rm: a folder goes with what others use in it", "cache", "*Cache*", [("cache/remove.cpp", "|| !uses.broken_by_removing(paths.folder()).empty()) return;", ") return;")]),
    ("cache rm: what a link leads to goes", "cache", "*Cache*", [("cache/remove.cpp", "if (is_link(paths.folder())) return remove_linked_repo(paths, repo);", "")]),
    ("cache rm: parts behind links go", "cache", "*Cache*", [("cache/remove.cpp", "if (!is_link(part)) continue;", "continue;")]),
    ("cache rm: blobs of a download go", "cache", "*Cache*", [("cache/remove.cpp", "++removed.busy;\n      continue;", "++removed.busy;")]),
    ("cache prune: pinned models go", "cache", "*Cache*", [("cache/prune.cpp", "if (named.empty()) return commits;", "")]),
    ("cache prune: a dry run is none", "cache", "*Cache*", [("cache/prune.cpp", "if (!dry_run_) remove_snapshot(paths, commit);", "remove_snapshot(paths, commit);")]),
    ("cache prune: downloads lose their files", "cache", "*Cache*", [("cache/prune.cpp", "if (!lock) return false;", "if (!lock) continue;")]),
    ("cache prune: what stays is looked at once", "cache", "*Cache*", [("cache/prune.cpp", "for (bool changed = true; changed;) {", "for (bool changed = true; std::exchange(changed, false);) {\n    bool ignored = changed;"), ("cache/prune.cpp", "    changed = std::erase_if(", "    ignored = std::erase_if(")]),
    ("cache prune: fresh temporaries go", "cache", "*Cache*", [("cache/prune.cpp", " || !is_old(entry)) return;", ") return;")]),
    ("cache prune: linked folders are pruned", "cache", "*Cache*", [("cache/prune.cpp", "if (is_link(folder)) return;", "")]),
    ("unpack: names that leave are taken", "cache", "Cache*", [("cache/unpack.cpp", "check_file(name);", "static_cast<void>(name.size());")]),
    ("unpack: control characters are taken", "cache", "Cache*", [("cache/unpack.cpp", "if (printable(name) != name ||", "if (name.empty() ||")]),
    ("unpack: any length is taken", "cache", "Cache*", [("cache/unpack.cpp", "longest > kMaxPart || deep > kMaxDepth", "deep > kMaxDepth + 1000")]),
    ("unpack: any size is taken", "cache", "Cache*", [("cache/unpack.cpp", "if (content_bytes_ > kMaxBytes) cap(", "if (false) cap(")]),
    ("unpack: links are written through", "cache", "Cache*", [("cache/folder.cpp", "::openat(fd_.get(), name.c_str(), kFlags | O_NOFOLLOW)", "::openat(fd_.get(), name.c_str(), kFlags)")]),
    ("unpack: what is in the way is met halfway", "cache", "Cache*", [("cache/unpack.cpp", "hub::check_place(hub, bundle);", "static_cast<void>(bundle);")]),
    ("unpack: damaged blobs stay", "cache", "Cache*", [("cache/place.cpp", "if (hash_range(open_regular(path), 0, size, etag, path, stop_, {}) == etag) return;", "return;")]),
    ("unpack: hashes not compared when written", "cache", "Cache*", [("cache/place.cpp", "stop_, write) != etag)", "stop_, write).empty())")]),
    ("unpack: unfinished files stay", "cache", "Cache*", [("cache/folder.cpp", "if (fd_ && !temporary_.empty()) ::unlinkat", "if (false) ::unlinkat")]),
    ("cache: every blob counts as used", "cache", "Cache*", [("cache/scan.cpp", "referenced.contains(name)});", "true});")]),
    ("cache verify: hash not compared", "cache", "Cache*", [("cache/verify.cpp", "return hash == etag;", "return !hash.empty();")]),
    ("cache verify: links to nowhere not seen", "cache", "Cache*", [("cache/verify.cpp", "if (blob_there) continue;", "continue;")]),
    ("cache repair: a download's lock ignored", "cache", "Cache*", [("cache/verify.cpp", "if (!lock) {", "if (false) {")]),
    ("cache rm: repositories of a download go", "cache", "Cache*", [("cache/remove.cpp", "if (!lock) {\n      throw Error", "if (false) {\n      throw Error")]),
    ("cache rm: refs stay", "cache", "Cache*", [("cache/remove.cpp", "if (named(ref)) remove_ref(paths, ref.first);", "static_cast<void>(ref);")]),
    ("cache rm: empty folders of refs stay", "cache", "Cache*", [("cache/remove.cpp", "if (!fs::remove(folder, error) || error) return;", "return;")]),
    ("pack: devices are replaced", "cache", "*Cache*", [("cache/pack.cpp", "check_target(archive);", "")]),
    ("pack: damaged blobs are packed", "cache", "Cache*", [("cache/pack.cpp", "if (hash != etag) {", "if (hash.empty()) {")]),
    ("pack: the ref is left out", "cache", "Cache*", [("cache/pack.cpp", "if (revision != *commit) {", "if (revision.empty()) {")]),
    ("pack: long names are cut", "cache", "Cache*", [("cache/tar.cpp", "if (entry.name.size() > kMaxName) records", "if (entry.name.empty()) records")]),
    ("unpack: names twice", "cache", "Cache*", [("cache/unpack.cpp", "if (!names_.insert(name).second)", "if (names_.insert(name); false)")]),
    ("unpack: any folder of the cache", "cache", "Cache*", [("cache/unpack.cpp", 'if (!part.empty() && part != "blobs"', 'if (false && part != "blobs"')]),
    ("unpack: links to anywhere", "cache", "Cache*", [("cache/unpack.cpp", "|| entry.target != RepoPaths::link_target(link.file, link.etag))", "|| entry.target.empty())")]),
    ("unpack: content may be missing", "cache", "Cache*", [("cache/unpack.cpp", "if (!bundle.blobs.contains(link.etag)) reader_", "if (link.etag.empty()) reader_")]),
    ("unpack: content that nobody uses", "cache", "Cache*", [("cache/unpack.cpp", "if (!etags.contains(etag)) refuse", "if (etag.empty()) refuse")]),
    ("unpack: a file as a folder", "cache", "Cache*", [("cache/unpack.cpp", "if (files.contains(file.substr(0, slash)))", "if (file.empty())")]),
    ("unpack: refs to commits that are not there", "cache", "Cache*", [("cache/unpack.cpp", "if (!commits.contains(commit))", "if (commit.empty())")]),
    ("unpack: a ref below another", "cache", "Cache*", [("cache/unpack.cpp", "if (bundle.refs.contains(revision.substr(0, slash)))", "if (revision.empty())")]),
    ("unpack: any text as a ref", "cache", "Cache*", [("cache/unpack.cpp", "if (!read || !is_commit(commit) || is_commit(revision))", "if (!read)")]),
    ("unpack: hashes not compared first", "cache", "Cache*", [("cache/unpack.cpp", "stop_, count) != etag)", "stop_, count).empty())")]),
    ("unpack: checksums of headers not looked at", "cache", "Cache*", [("cache/tar.cpp", "if (number(header.checksum) != header.sum())", "if (number(header.checksum) == 0)")]),
    ("unpack: an archive may end anywhere", "cache", "Cache*", [("cache/tar.cpp", "if (size > size_ - offset_ || read_at(", "if (false && read_at(")]),
    ("unpack: hard links taken for links", "cache", "Cache*", [("cache/tar.cpp", "      case '2':\n      case '5':", "      case '1':\n      case '2':\n      case '5':"), ("cache/tar.cpp", "header.type == '2' ? TarEntry::Kind::link", "header.type != '5' ? TarEntry::Kind::link")]),
    ("unpack: sparse files taken as they are", "cache", "Cache*", [("cache/tar.cpp", 'if (key.starts_with("GNU.sparse.")) refuse("it holds a sparse file");', "")]),
    ("cache: a stop is not heard", "cache", "Cache*", [("cache/file_io.cpp", "if (stop.stop_requested()) throw", "if (false) throw")]),
    ("growth goes on where memory is short", "download", "Throughput*", [("download/throughput.hpp", "if (stuffed || (wanted_", "if ((stuffed && false) || (wanted_")]),
    ("growth is judged before all deliver", "download", "Throughput*", [("download/throughput.hpp", "if (now.delivering < std::min(wanted_, limit) && waited_ < kMaxWait) return;", "")]),
    ("growth that brought nothing is kept", "download", "Throughput*", [("download/throughput.hpp", "wanted_ = base_;\n      best_ = 0;\n      pause_", "base_ = wanted_;\n      best_ = 0;\n      pause_")]),
    ("sink: what came out of order is never hashed", "fault", "*P31_CutByFin*:*P34_RangeIgnored*", [("download/body_sink.cpp", "while (unhashed_ < kItemsAhead && written_.prefix() > planned_) {", "while (false) {")]),
    ("sink: the hash forgets what was out of order", "big", "*F01*", [("download/body_sink.cpp", "hasher_ && !hash_stopped_ && block->offset == planned_", "hasher_ && !hash_stopped_ && block->offset >= planned_")]),
]


# Where a program of the tests lies below the build folder.
def program_path(program):
    folder = f"src/hub/{program}" if program in ("cache", "download") else "tests/hub"
    return f"{folder}/stella_hub_{program}_test"


def run(command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)


def build(work, jobs, program):
    return run(["ninja", "-C", work / "build", f"-j{jobs}", pathlib.Path(program_path(program)).name])


def survives(work, program, pattern):
    """Whether the tests pass; more than two minutes count as noticed."""
    try:
        done = run([work / "build" / program_path(program), f"--gtest_filter={pattern}"], timeout=120)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def try_mutation(work, jobs, mutation):
    name, program, pattern, edits = mutation
    originals = {}
    try:
        for file, old, new in edits:
            path = work / "copy/src/hub" / file
            text = path.read_text()
            if old not in text:
                return "does not apply"
            originals.setdefault(path, text)
            path.write_text(text.replace(old, new))
        built = build(work, jobs, program)
        if built.returncode != 0:
            return "does not compile"
        return "SURVIVES" if survives(work, program, pattern) else "noticed"
    finally:
        for path, text in originals.items():
            path.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    work = arguments.work or pathlib.Path(tempfile.mkdtemp(prefix="stella-mutations-"))
    shutil.rmtree(work / "copy", ignore_errors=True)
    left_out = {str(ROOT / ".git"), str(ROOT / "build")}
    shutil.copytree(ROOT, work / "copy", symlinks=True,
                    ignore=lambda folder, names: [name for name in names if f"{folder}/{name}" in left_out])
    configured = run(["cmake", "-S", work / "copy", "-B", work / "build", "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
                      "-DCMAKE_CXX_FLAGS_RELEASE=-O1", "-DSTELLA_WARNINGS_AS_ERRORS=OFF"])
    if configured.returncode != 0:
        sys.exit(configured.stderr)
    chosen = [mutation for mutation in MUTATIONS if re.search(arguments.only, mutation[0])]
    for program in sorted({mutation[1] for mutation in chosen}):
        if build(work, arguments.jobs, program).returncode != 0:
            sys.exit("the tests do not build unchanged")
    bad = 0
    for mutation in chosen:
        verdict = try_mutation(work, arguments.jobs, mutation)
        bad += verdict != "noticed"
        print(f"{verdict:16} {mutation[0]}", flush=True)
    print(f"{bad} not noticed")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
