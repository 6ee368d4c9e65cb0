"""Downloads from the local hub: ours beside one connection, curl, aria2c and Python's huggingface_hub.

usage: hub_bench.py --build build/release --python PYTHON [--rounds 5] [--work DIR] [--json FILE]

PYTHON is an interpreter with huggingface_hub (build/release/python-env/bin/python after the tests). In every round each
contestant downloads the same file into an empty folder, in an order that rotates; medians over the rounds are printed as
tables: throughput, CPU seconds per GB (user and system, of the client alone), peak resident memory. Python's client and
curl do not verify what they receive; ours does.
"""

import argparse
import hashlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "python"))
import hub_support  # noqa: E402

PYTHON_GET = "import huggingface_hub as h; h.hf_hub_download('org/name', 'model.safetensors')"


def contestants(arguments, hub, folder):
    """{name: (command, environment)}; each downloads into `folder`."""
    url = f"{hub.endpoint}/org/name/resolve/main/model.safetensors"
    environment = hub_support.environment(hub, folder)
    ours = [str(arguments.build / "tests/hub/hub_get"), "org/name", "main", "model.safetensors"]
    found = {
        "ours": (ours, environment),
        "ours, one connection": (ours, dict(environment, HF_HUB_DOWNLOAD_CONNECTIONS="1")),
        "curl (no hash)": (["curl", "-sSfL", "-o", f"{folder}/file", url], environment),
        "huggingface_hub (no hash)": ([str(arguments.python), "-B", "-c", PYTHON_GET], environment),
    }
    if shutil.which("aria2c"):
        command = ["aria2c", "-q", "-x16", "-s16", "-k1M", "--file-allocation=none", "-d", str(folder), "-o", "file", url]
        found["aria2c -x16 -s16 (no hash)"] = (command, environment)
    return found


def peak_memory(pid):
    """Most resident bytes so far; 0 once the process is gone. (ru_maxrss would count this interpreter's, before exec.)"""
    try:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def measure(command, environment):
    """Seconds, CPU seconds and peak bytes of one child process."""
    start = time.monotonic()
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    pid = peak = 0
    while pid == 0:
        peak = max(peak, peak_memory(child.pid))
        time.sleep(0.005)
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
    seconds = time.monotonic() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(f"{command[0]} failed with {child.returncode}")
    return {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "peak": peak}


def downloaded_size(folder):
    return max(path.stat().st_size for path in pathlib.Path(folder).rglob("*") if path.is_file() and not path.is_symlink())


def race(arguments, hub, size):
    """{name: [measurements]} over the rounds."""
    results = {}
    for number in range(arguments.rounds):
        names = list(contestants(arguments, hub, "/"))
        names = names[number % len(names) :] + names[: number % len(names)]
        for name in names:
            with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
                command, environment = contestants(arguments, hub, folder)[name]
                os.sync()
                results.setdefault(name, []).append(measure(command, environment))
                if downloaded_size(folder) != size:
                    raise RuntimeError(f"{name} left no file of {size} bytes")
    return results


def table(title, results, size):
    def median(name, key):
        return statistics.median(one[key] for one in results[name])

    lines = [f"### {title}", "", "| client | MB/s | × one connection | CPU s/GB | peak MiB |", "|---|---|---|---|---|"]
    one = size / median("ours, one connection", "seconds")
    for name in sorted(results, key=lambda name: median(name, "seconds")):
        rate = size / median(name, "seconds")
        lines.append(
            f"| {name} | {rate / 1e6:.0f} | {rate / one:.2f} | {median(name, 'cpu') / size * 1e9:.2f} "
            f"| {median(name, 'peak') / 2**20:.0f} |"
        )
    return "\n".join(lines)


def sha256_rate():
    """Bytes per second of one core, OpenSSL's implementation (that of hashlib)."""
    block = bytes(1 << 20)
    rates = []
    for _ in range(5):
        hasher = hashlib.sha256()
        start = time.monotonic()
        for _ in range(512):
            hasher.update(block)
        rates.append(512 * len(block) / (time.monotonic() - start))
    return statistics.median(rates)


def make_file(path, size):
    path.parent.mkdir(parents=True)
    block = hub_support.bytes_of("bench", 1 << 20)
    with open(path, "wb") as out:
        for number in range(size // len(block)):
            out.write(number.to_bytes(8, "little") + block[8:])
        out.write(block[: size % len(block)])


def tickers(arguments, hub):
    results = []
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
            program = arguments.build / "bench/hub/bench_hub_ticker"
            command = [str(program), "org/name", "model.safetensors", "5"]
            done = subprocess.run(command, env=hub_support.environment(hub, folder), capture_output=True, text=True, check=True)
            results.append(json.loads(done.stdout))
    lines = ["### 1 ms ticker on the caller's thread (median over the rounds)", ""]
    lines += ["| while | p50 ms | p99 ms | max ms |", "|---|---|---|---|"]
    for name in ("idle", "download"):
        values = [statistics.median(one[name][key] for one in results) for key in ("p50_ms", "p99_ms", "max_ms")]
        lines.append(f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + " |")
    return results, "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--python", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()))
    parser.add_argument("--limited-size", type=int, default=400_000_000)
    parser.add_argument("--size", type=int, default=2_000_000_000)
    parser.add_argument("--rate", type=int, default=40_000_000, help="bytes per second of each connection, when limited")
    parser.add_argument("--only", choices=["limited", "unlimited", "ticker"])
    parser.add_argument("--json", type=pathlib.Path, help="where to write every measurement")
    arguments = parser.parse_args()
    arguments.build = arguments.build.resolve()
    server = arguments.build / "tests/hub_server/hub_server"
    everything = {"sha256_bytes_per_second": sha256_rate()}
    print(f"sha256 on one core: {everything['sha256_bytes_per_second'] / 1e6:.0f} MB/s\n")
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        small = pathlib.Path(folder) / "small"
        large = pathlib.Path(folder) / "large"
        if arguments.only in (None, "limited"):
            make_file(small / "model.safetensors", arguments.limited_size)
            with hub_support.Hub(server, {"org/name": small}, "--rate", str(arguments.rate)) as hub:
                everything["limited"] = race(arguments, hub, arguments.limited_size)
            title = f"{arguments.limited_size / 1e6:.0f} MB, {arguments.rate / 1e6:.0f} MB/s for each connection"
            print(table(title, everything["limited"], arguments.limited_size) + "\n")
        if arguments.only in (None, "unlimited", "ticker"):
            make_file(large / "model.safetensors", arguments.size)
            with hub_support.Hub(server, {"org/name": large}) as hub:
                if arguments.only != "ticker":
                    everything["unlimited"] = race(arguments, hub, arguments.size)
                    print(table(f"{arguments.size / 1e9:.1f} GB, unlimited loopback", everything["unlimited"], arguments.size) + "\n")
                if arguments.only != "unlimited":
                    everything["ticker"], text = tickers(arguments, hub)
                    print(text + "\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    main()
