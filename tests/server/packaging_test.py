"""What packaging/ says is what the program has: flags, variables, ports, times; and it is well-formed.

    packaging_test.py PROGRAM SOURCE
"""

import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

import yaml

PROGRAM, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
sys.argv[1:] = []
PACKAGING = SOURCE / "packaging"
HELP = subprocess.run([PROGRAM, "serve", "--help"], capture_output=True, text=True, check=True).stdout
FLAGS = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", HELP))
VARIABLES = {name for names in re.findall(r"Env:([A-Z_]+(?:,\s*[A-Z_]+)*)", HELP) for name in re.split(r",\s*", names)}
DRAIN_SECONDS = int(re.search(r"--drain-timeout.*?\(default (\d+)\)", HELP, re.DOTALL)[1])


def dockerfile():
    """Instructions with continued lines joined: [(name, rest)]."""
    text = re.sub(r"\\\n\s*", " ", "\n".join(line for line in (PACKAGING / "Dockerfile").read_text().splitlines() if not line.startswith("#")))
    return [tuple(line.split(" ", 1)) for line in text.splitlines() if line]


def unit():
    """Section → key → values."""
    sections = {}
    for line in (PACKAGING / "stella.service").read_text().splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, value = line.split("=", 1)
            section.setdefault(key, []).append(value)
    return sections


def kubernetes():
    return {one["kind"]: one for one in yaml.safe_load_all((PACKAGING / "kubernetes.yaml").read_text())}


def compose():
    return yaml.safe_load((PACKAGING / "compose.yaml").read_text())


class Packaging(unittest.TestCase):
    def check_arguments(self, arguments):
        self.assertEqual(arguments[0], "serve")
        flags = [one for one in arguments if one.startswith("--")]
        self.assertTrue(flags)
        self.assertLessEqual(set(flags), FLAGS)

    def drain_of(self, arguments):
        return int(arguments[arguments.index("--drain-timeout") + 1]) if "--drain-timeout" in arguments else DRAIN_SECONDS

    def test_systemd(self):
        service = unit()["Service"]
        program, *arguments = shlex.split(service["ExecStart"][0])
        self.assertTrue(program.startswith("/"))
        self.check_arguments(arguments)
        self.assertGreater(int(service["TimeoutStopSec"][0]), self.drain_of(arguments))
        given = {value.split("=")[0] for value in service["Environment"]}
        self.assertLessEqual({name for one in arguments for name in re.findall(r"\$\{(\w+)\}", one)}, given)
        for name in ("NoNewPrivileges", "DynamicUser", "PrivateDevices", "ProtectHome"):
            self.assertEqual(service[name], ["yes"])
        if not shutil.which("systemd-analyze"):
            self.skipTest("systemd-analyze is not here")
        with tempfile.TemporaryDirectory(prefix="stella-packaging-") as folder:
            # With a program that is there: the unit's own is where it gets installed.
            copy = pathlib.Path(folder, "stella.service")
            copy.write_text((PACKAGING / "stella.service").read_text().replace(program, PROGRAM).replace("man:stella(1)", "https://example.org"))
            done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=60)
        problems = [line for line in done.stderr.splitlines() if "stella.service" in line]
        self.assertEqual(problems, [])

    def test_variables(self):
        known = {"STELLA_MODEL", "STELLA_HOST", "HF_TOKEN", "HF_HUB_OFFLINE", "HF_HOME"}  # the unit's own and the hub's
        for line in (PACKAGING / "stella.env").read_text().splitlines():
            if found := re.match(r"#?([A-Z][A-Z_]+)=", line):
                self.assertTrue(found[1] in known | VARIABLES, found[1])

    def test_dockerfile(self):
        instructions = dockerfile()
        names = [name for name, _ in instructions]
        self.assertEqual(names.count("FROM"), 2)
        values = dict(instructions)  # the last of each
        self.assertNotIn(values["USER"].split(":")[0], ("0", "root"))
        self.assertIn("/health", values["HEALTHCHECK"])
        self.check_arguments(yaml.safe_load(values["CMD"]))
        self.assertIn(f":{values['EXPOSE']}/health", values["HEALTHCHECK"])
        self.assertIn(f"(default {values['EXPOSE']})", HELP)
        self.assertRegex(dict(instructions)["ARG"], r"^DEBIAN=debian:12\.\d+-slim$")
        for name, rest in instructions:
            if name == "COPY" and "--from" not in rest:
                self.assertTrue(all((SOURCE / one).exists() for one in rest.split()[:-1]), rest)
            if name == "RUN" and "apt-get install" in rest:
                self.assertIn("--no-install-recommends", rest)
                self.assertIn("rm -rf /var/lib/apt/lists/*", rest)

    def test_the_context_has_what_the_build_needs(self):
        kept = [line[1:] for line in (PACKAGING / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
        for name in kept:
            self.assertTrue((SOURCE / name).exists(), name)
        folders = set(re.findall(r"add_subdirectory\((\w+)", (SOURCE / "CMakeLists.txt").read_text()))
        optional = {"tests", "bench", "examples", "fuzz", "capi", "python"}
        self.assertLessEqual(folders - optional, set(kept))

    def test_the_image_has_the_libraries(self):
        """Packages of the program's own libraries on Debian, by the sonames that it asks for."""
        if not shutil.which("readelf") or not shutil.which("dpkg-query"):
            self.skipTest("readelf and dpkg-query are not here")
        needed = re.findall(r"\(NEEDED\).*\[(.+)\]", subprocess.run(["readelf", "-d", PROGRAM], capture_output=True, text=True, check=True).stdout)
        self.assertTrue(needed)
        installed = next(rest for name, rest in dockerfile() if name == "RUN" and "libcurl4" in rest).split()
        for soname in needed:
            found = subprocess.run(["dpkg-query", "-S", f"*/{soname}"], capture_output=True, text=True).stdout
            packages = {line.split(":")[0] for line in found.splitlines()}
            if packages & {"libc6", "libgcc-s1"} or not packages:
                continue  # in every image
            self.assertTrue(packages & set(installed), (soname, packages))

    def test_compose(self):
        service = compose()["services"]["stella"]
        self.check_arguments(service["command"])
        self.assertGreater(int(service["stop_grace_period"].rstrip("s")), self.drain_of(service["command"]))
        self.assertEqual((service["read_only"], service["cap_drop"]), (True, ["ALL"]))
        self.assertLessEqual({volume.split(":")[0] for volume in service["volumes"]}, set(compose()["volumes"]))
        self.assertTrue((PACKAGING / service["build"]["context"] / service["build"]["dockerfile"]).exists())

    def test_kubernetes(self):
        objects = kubernetes()
        self.assertEqual(set(objects), {"Service", "PersistentVolumeClaim", "Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler"})
        pod = objects["Deployment"]["spec"]["template"]["spec"]
        container, = pod["containers"]
        self.check_arguments(container["args"])
        sleep = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
        self.assertGreater(pod["terminationGracePeriodSeconds"], sleep + self.drain_of(container["args"]))
        self.assertEqual((container["readinessProbe"]["httpGet"]["path"], container["livenessProbe"]["httpGet"]["path"]), ("/health", "/ping"))
        self.assertEqual({mount["name"] for mount in container["volumeMounts"]}, {volume["name"] for volume in pod["volumes"]})
        labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
        for selector in (objects["Service"]["spec"]["selector"], objects["Deployment"]["spec"]["selector"]["matchLabels"], objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]):
            self.assertEqual(selector, labels)
        scaler = objects["HorizontalPodAutoscaler"]["spec"]
        self.assertEqual(scaler["scaleTargetRef"]["name"], objects["Deployment"]["metadata"]["name"])
        self.assertEqual(scaler["metrics"][0]["pods"]["metric"]["name"], "te_queue_size")
        version = re.search(r"project\(stella VERSION (\S+)", (SOURCE / "CMakeLists.txt").read_text())[1]
        self.assertEqual(container["image"], f"stella:{version}")


if __name__ == "__main__":
    unittest.main()
