"""What can be said of the image without building one."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

from r1ray.sandbox.languages import LANGUAGES
from tests.k8s.image import ROOT, VENV, context, stages


def test_it_has_a_cpu_and_a_gpu_target_that_carry_nothing_but_the_environment_over() -> None:
    found = stages()
    assert list(found) == ["base", "build-cpu", "build-gpu", "cpu", "gpu"]
    for name in ("cpu", "gpu"):
        stage = found[name]
        assert stage.base == "base" and stage.of("RUN") == []  # no cache of a package manager is in it
        for copied in stage.of("COPY"):
            source, _, target = copied.split()
            assert source == f"--from=build-{name}" and target in (VENV, "/opt/r1ray")


def test_the_build_sees_all_that_is_installed_and_nothing_else() -> None:
    assert all((ROOT / path).exists() for path in context() if "*" not in path)
    project = (ROOT / "pyproject.toml").read_text()
    for needed in ("README.md", "LICENSE"):  # setuptools reads them
        assert needed in project and needed in context()
    assert {"pyproject.toml", "r1ray", "conf", "launch", "k8s"} <= set(context())
    for stage in stages().values():
        for copied in stage.of("COPY"):
            *sources, _ = copied.split()
            if not sources[0].startswith("--from=") and sources != ["."]:
                assert all(any(Path(each).is_relative_to(path) for path in context()) for each in sources)


def test_each_installs_its_locked_stack() -> None:
    for stack in ("cpu", "gpu"):
        [command] = stages()[f"build-{stack}"].of("RUN")
        script, *arguments = [word for word in shlex.split(command) if "=" not in word]
        assert (ROOT / script).stat().st_mode & 0o111 and arguments == [stack, VENV]
        assert (ROOT / "launch" / f"requirements-{stack}.txt").exists()


def test_debians_python_is_one_that_the_locks_are_for() -> None:
    assert stages()["base"].base == "debian:12-slim"  # Python 3.11
    assert "not (3, 11) <= sys.version_info[:2] <= (3, 13)" in (ROOT / "launch" / "install.sh").read_text()


def test_it_has_what_the_sandbox_needs_for_python_c_plus_plus_and_javascript() -> None:
    installed = set(re.findall(r"[\w+.-]+", " ".join(stages()["base"].of("RUN"))))
    assert {"bubblewrap", "libseccomp2", "python3"} <= installed
    for language in ("cpp", "javascript"):
        package = LANGUAGES[language].package
        assert package.split()[0] in installed, package


def test_the_programs_of_the_pods_are_in_the_path_and_are_python() -> None:
    [copied] = stages()["base"].of("COPY")
    *programs, folder = copied.split()
    assert folder == "/usr/local/bin/" and programs == ["k8s/image/end-run", "k8s/image/copy-files"]
    for program in programs:
        assert (ROOT / program).stat().st_mode & 0o111
        ast.parse((ROOT / program).read_text())
