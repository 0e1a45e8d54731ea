"""The languages of the sandbox, each as data: packages that it needs, and commands that compile and run a program."""

from __future__ import annotations

import functools
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from r1ray.errors import UserError
from r1ray.sandbox.java_source import runnable
from r1ray.sandbox.job import Command, Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """One language. ``{dir}`` in commands is the scratch folder, ``{mem}`` the memory limit in MiB."""

    name: str
    source: str
    """File name of the program."""
    run: tuple[str, ...]
    package: str
    """Debian packages that bring the tools."""
    compile: tuple[str, ...] | None = None
    compiled: str | None = None
    """File name of the artifact beside the program when it runs."""
    collect: str | None = None
    """File that the compiler leaves; None: ``compiled``."""
    profile: Literal["native", "shell"] = "native"
    memory_rlimit: Literal["AS", "DATA"] = "AS"
    memory_overhead_mib: int = 0
    environment: tuple[tuple[str, str], ...] = ()
    reads_own_maps: bool = False
    """True if the runtime looks up its stack in /proc/self/maps."""
    fences: tuple[str, ...] = ()
    """Names for it in Markdown fences, besides its own."""

    @property
    def tools(self) -> tuple[str, ...]:
        """Programs that have to be on the PATH."""
        return tuple(dict.fromkeys(c[0] for c in (self.compile, self.run) if c and not c[0].startswith("{")))

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(tool for tool in self.tools if shutil.which(tool, path=PATH) is None)


PATH = "/usr/local/bin:/usr/bin:/bin"
COMPILE_LIMITS = Limits(cpu_s=10.0, memory_mib=2048, output_kib=64)
ARTIFACT_KIB = 64 * 1024
_PHP = ("-d", "extension=ctype", "-d", "extension=readline", "-d", "display_errors=stderr")
_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto")

LANGUAGES: dict[str, Language] = {
    language.name: language
    for language in (
        Language(name="python", source="main.py", run=(), package="python3", fences=("py", "python3")),
        Language(
            name="cpp",
            source="main.cpp",
            compile=("g++", "-std=gnu++20", "-O2", "-pipe", "-fdiagnostics-color=never", "-o", "main", "main.cpp"),
            compiled="main",
            run=("{dir}/main",),
            package="g++",
            fences=("c++", "cc", "cxx"),
        ),
        Language(
            name="javascript",
            source="main.js",
            run=("node", "--max-old-space-size={mem}", "--max-semi-space-size=4", "main.js"),
            package="nodejs",
            memory_rlimit="DATA",
            memory_overhead_mib=256,
            environment=(("OPENSSL_CONF", "/dev/null"), ("UV_THREADPOOL_SIZE", "1")),
            fences=("js", "node"),
        ),
        Language(
            name="typescript",
            source="main.ts",
            # The artifact counts, not the exit code: the types of Node are rarely installed, and tsc reports their
            # absence as an error, which says nothing about the program.
            compile=("tsc", "--target", "es2020", "--module", "commonjs", "--esModuleInterop", "main.ts"),
            compiled="main.js",
            run=("node", "--max-old-space-size={mem}", "--max-semi-space-size=4", "main.js"),
            package="nodejs node-typescript",
            memory_rlimit="DATA",
            memory_overhead_mib=256,
            environment=(("OPENSSL_CONF", "/dev/null"), ("UV_THREADPOOL_SIZE", "1")),
            fences=("ts",),
        ),
        Language(
            name="java",
            source="Main.java",
            compile=("javac", *("-J" + flag for flag in _JVM), "-J-Xmx768m", "-encoding", "UTF-8", "Main.java"),
            collect="*.class",
            compiled="main.jar",
            run=("java", *_JVM, "-Xms16m", "-Xmx{mem}m", "-Xss16m", "-cp", "{dir}/main.jar", "Main"),
            package="default-jdk-headless",
            memory_rlimit="DATA",
            memory_overhead_mib=512,
        ),
        Language(
            name="bash",
            source="main.sh",
            run=("bash", "main.sh"),
            package="bash",
            profile="shell",
            fences=("sh", "shell"),
        ),
        Language(name="php", source="main.php", run=("php", "-n", *_PHP, "main.php"), package="php-cli"),
        Language(
            name="csharp",
            source="main.cs",
            compile=("mcs", "-optimize+", "-r:System.Numerics.dll", "-out:main.exe", "main.cs"),
            compiled="main.exe",
            run=("mono", "main.exe"),
            package="mono-mcs mono-runtime",
            memory_rlimit="DATA",
            memory_overhead_mib=256,
            environment=(("MONO_GC_PARAMS", "max-heap-size={mem}m"),),
            reads_own_maps=True,
            fences=("cs", "c#"),
        ),
    )
}


def language_of(name: str) -> Language:
    """Return the language of that name. Raises UserError."""
    if name not in LANGUAGES:
        raise UserError(f"language {name!r}: needs one of {', '.join(LANGUAGES)}.")
    return LANGUAGES[name]


def require(names: set[str], *, key: str) -> None:
    """Raise UserError if a language's tools are not installed on this machine."""
    for name in sorted(names):
        language = language_of(name)
        if language.missing:
            raise UserError(
                f"{key} has programs in {name}, and {', '.join(language.missing)} is not installed: needs the Debian "
                f"package {language.package} on the machines of the reward actors."
            )


def compile_command(language: Language, source: str) -> Command:
    """Return the command that compiles a program."""
    assert language.compile is not None
    prepared = runnable(source) if language.name == "java" else source
    return Command(
        argv=language.compile,
        profile="shell",
        files={language.source: prepared.encode("utf-8", "surrogatepass")},
        environment=_environment(language, COMPILE_LIMITS),
        collect=language.collect or language.compiled,
        memory_rlimit=language.memory_rlimit,
        memory_overhead_mib=language.memory_overhead_mib,
        reads_own_maps=language.reads_own_maps,
        file_kib=ARTIFACT_KIB,
    )


def run_command(language: Language, source: str, artifact: int | None, limits: Limits) -> Command:
    """Return the command that runs a program. ``artifact``: memfd of the file that the compiler left."""
    if language.compiled is not None:
        assert artifact is not None
        files: dict[str, bytes | int] = {language.compiled: artifact}
    else:
        files = {language.source: source.encode("utf-8", "surrogatepass")}
    return Command(
        argv=tuple(word.replace("{mem}", str(limits.memory_mib)) for word in language.run),
        profile=language.profile,
        files=files,
        environment=_environment(language, limits),
        memory_rlimit=language.memory_rlimit,
        memory_overhead_mib=language.memory_overhead_mib,
        reads_own_maps=language.reads_own_maps,
    )


def _environment(language: Language, limits: Limits) -> dict[str, str]:
    extra = {key: value.replace("{mem}", str(limits.memory_mib)) for key, value in language.environment}
    if language.name == "java":
        extra["LD_LIBRARY_PATH"] = java_libraries()
    return {"PATH": PATH, "HOME": "/nonexistent", "TMPDIR": ".", "LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "2"} | extra


@functools.cache
def java_libraries() -> str:
    """Return the JDK's library folder. java would find it through /proc, which the sandbox does not have."""
    java = shutil.which("java", path=PATH)
    return str(Path(java).resolve().parents[1] / "lib") if java else ""
