#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The installed library, as somebody sees it who has nothing else.

`meson install` puts everything into an empty directory; what lies there is
compared with a list.  The headers are compiled alone.  The symbols of both
libraries are compared with the functions that the headers declare.  Then every
installed example is built through pkg-config, against the shared library and
wholly static, and run; each checks its own results.  At last docs/embedding.md
is held against headers and library.

    proves: P04 P05 P06 A03 A06 A12 R09
"""

import glob
import json
import os
import re
import subprocess
import sys
import tempfile

BUILD_DIR = os.environ["TRI_BUILD_DIR"]
SOURCE_DIR = os.environ["TRI_SOURCE_DIR"]
sys.path.insert(0, os.path.join(SOURCE_DIR, "tests", "e2e"))
from server import Tap, die_with_parent  # pylint: disable=wrong-import-position

TAP = Tap()
CC = os.environ.get("CC", "cc")
CXX = os.environ.get("CXX", "c++")
INCLUDE_DIR = os.path.join(SOURCE_DIR, "engine", "include")
HEADERS = ["tricast.h", "tricast/keys.h", "tricast/message.h", "tricast/options.h",
           "tricast/order.h", "tricast_engine.h", "tricast_participant.h"]
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
LANGUAGES = {"c": [CC, "-std=c11"], "c++": [CXX, "-std=c++17"]}
COMPILERS = [*LANGUAGES.values(), ["clang", "-std=c11"], ["clang++", "-std=c++17"]]
INSTALLED = """\
bin/tricast
bin/tricast-chain
bin/tricastd
include/tricast.h
include/tricast/keys.h
include/tricast/message.h
include/tricast/options.h
include/tricast/order.h
include/tricast_engine.h
include/tricast_participant.h
lib/libtricast.a
lib/libtricast.so
lib/libtricast.so.0
lib/libtricast.so.0.1.0
lib/pkgconfig/tricast.pc
share/doc/tricast/LICENSE
share/doc/tricast/config.md
share/doc/tricast/embedding.md
share/doc/tricast/examples/embed.c
share/doc/tricast/examples/embed.cc
share/doc/tricast/examples/engine_loop.c
share/doc/tricast/examples/later.c
share/doc/tricast/examples/participant.c
share/doc/tricast/finality.md
share/doc/tricast/journal.md
share/doc/tricast/protocol.md
share/doc/tricast/wire.md
"""
# What each example says when every message has ended as it should; it checks that itself too.
EXAMPLES = {
    "embed.c": r"1000000 processed\n",
    "embed.cc": r"36000 processed, 4000 refused, 0 otherwise\n",
    "engine_loop.c": r"1000 messages: 1000 processed, 10 PREPAREs lost, 10 redeliveries, "
                     r"6948 virtual ms\n",
    "later.c": r"1800 processed, 200 refused\n",
    "participant.c": r"\d+ processed, [1-9]\d* refused, [1-9]\d* rolled back, 0 otherwise; "
                     r"0 accounts wrong\n",
}
EMBED_LINES_MAX = 60
# A library ends no process, and leaves its signals and standard streams alone.  Assertions may.
FOREIGN = {"exit", "_exit", "_Exit", "quick_exit", "at_quick_exit", "atexit", "abort", "signal",
           "sigaction", "raise", "kill", "fork", "system", "stdout", "stderr", "printf", "puts",
           "setlocale", "setenv", "getenv", "srand", "rand", "strtok", "gmtime", "localtime"}


def run(*words, timeout=120, **more):
    return subprocess.run(words, capture_output=True, encoding="utf-8", errors="replace",
                          check=False, timeout=timeout, **more)


def done(result):
    """What went wrong, as notes."""
    return [f"exit code {result.returncode}", result.stdout[-2000:], result.stderr[-2000:]]


def build_option(name):
    with open(os.path.join(BUILD_DIR, "meson-info", "intro-buildoptions.json"),
              encoding="utf-8") as file:
        return next(row["value"] for row in json.load(file) if row["name"] == name)


def source_of(header):
    folder = INCLUDE_DIR if "/" in header else SOURCE_DIR
    return os.path.join(folder, header)


def declared(header):
    """The functions that a public header declares."""
    with open(source_of(header), encoding="utf-8") as file:
        text = file.read()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.MULTILINE)
    text = re.sub(r"\btypedef\b[^;]*;", "", text)
    return set(re.findall(r"\b(tri_\w+)\s*\(", text))


def symbols(*words):
    """(name, letter) of each line of nm."""
    result = run("nm", "--format=posix", *words)
    rows = (line.split() for line in result.stdout.splitlines())
    return [(row[0].split("@")[0], row[1]) for row in rows if len(row) > 1]


API = set().union(*(declared(header) for header in HEADERS))


class Installed:
    """A directory that `meson install` has filled, and how to compile against it."""

    def __init__(self, directory):
        self.directory = directory
        self.root = os.path.join(directory, "root")
        self.prefix = os.path.join(self.root, build_option("prefix").lstrip("/"))
        self.lib = os.path.join(self.prefix, build_option("libdir"))
        self.examples = os.path.join(self.prefix, "share", "doc", "tricast", "examples")
        self.shared = os.path.join(self.lib, "libtricast.so")
        self.static = os.path.join(self.lib, "libtricast.a")
        self.env = {**os.environ, "PKG_CONFIG_PATH": os.path.join(self.lib, "pkgconfig"),
                    "PKG_CONFIG_SYSROOT_DIR": self.root}

    def install(self):
        result = run("meson", "install", "--no-rebuild", "-C", BUILD_DIR, "--destdir", self.root)
        TAP.ok(result.returncode == 0, "meson install fills an empty directory", *done(result))
        found = []
        for base, _, names in os.walk(self.prefix):
            for name in names:
                path = os.path.relpath(os.path.join(base, name), self.prefix)
                found.append(path.replace(build_option("libdir"), "lib", 1))
        TAP.ok("".join(path + "\n" for path in sorted(found)) == INSTALLED,
               "exactly the programs, the library, its headers and its pages are installed",
               *sorted(set(found) ^ set(INSTALLED.split())))

    def pkg_config(self, *words):
        result = run("pkg-config", *words, "tricast", env=self.env)
        return result.stdout.split() if result.returncode == 0 else None

    def compile(self, source, program, is_static):
        """Builds one program as its language wants it; the compiler's result."""
        language = "c++" if source.endswith(".cc") else "c"
        flags = self.pkg_config("--cflags", "--libs", *(["--static"] if is_static else []))
        return run(*LANGUAGES[language], *STRICT, "-O2", source, "-o", program,
                   *(["-static"] if is_static else []), *flags, "-pthread")

    def start(self, program, is_static):
        env = dict(os.environ)
        if not is_static:
            env["LD_LIBRARY_PATH"] = self.lib
        return run(program, env=env, timeout=100, preexec_fn=die_with_parent)

    def pkg_config_file(self):
        flags = self.pkg_config("--libs")
        TAP.ok(flags == [f"-L{self.lib}", "-ltricast"], "a shared link needs tricast alone", flags)
        flags = self.pkg_config("--static", "--libs") or []
        TAP.ok({"-ltricast", "-lcrypto", "-lxxhash", "-luring"} <= set(flags),
               "a static link names what the library needs", flags)
        for unwanted in ("jansson", "msgpack", "cyaml", "yaml"):
            TAP.ok(not any(unwanted in flag for flag in flags), f"embedding needs no {unwanted}",
                   flags)

    def headers(self):
        for header in HEADERS:
            for compiler, standard in COMPILERS:
                source = os.path.join(self.directory, "alone.cc" if "++" in standard else "alone.c")
                with open(source, "w", encoding="utf-8") as file:
                    file.write(f"#include <{header}>\n#include <{header}>\n")
                result = run(compiler, standard, *STRICT, "-fsyntax-only", source,
                             *self.pkg_config("--cflags"))
                TAP.ok(result.returncode == 0,
                       f"{header} compiles alone with {compiler} {standard}", *done(result))

    def symbols(self):
        shown = {name for name, letter in symbols("-D", "--defined-only", self.shared)
                 if letter != "A"}
        TAP.ok(len(API) > 40 and shown == API,
               "the shared library shows the functions of the headers and nothing else",
               f"not shown: {sorted(API - shown)}", f"not declared: {sorted(shown - API)}")
        inside = {name for name, letter in symbols("--defined-only", "--extern-only", self.static)}
        TAP.ok(API <= inside, "the static library has them all", sorted(API - inside))
        strange = {name for name in inside if not name.startswith("tri_")}
        TAP.ok(not strange, "every global name of the static library begins with tri_",
               sorted(strange))
        called = {name for name, letter in symbols("--undefined-only", self.static)} - inside
        TAP.ok("__assert_fail" in called and not called & FOREIGN,
               "it calls nothing that ends the process, takes its signals or its streams",
               sorted(called & FOREIGN))

    def data(self):
        """No function of the library keeps anything between calls but in the caller's objects."""
        result = run("objdump", "--syms", "--wide", self.static)
        objects = []
        for line in result.stdout.splitlines():
            fields = line.split("\t")
            if len(fields) != 2:
                continue
            section = fields[0].split()[-1]
            size, name = fields[1].split()[0], fields[1].split()[-1]
            objects.append((section, int(size, 16), name))
        with open(self.static, "rb") as file:
            is_plain = b".gnu.lto_" not in file.read()
        TAP.ok(is_plain and any(name == "tri_engine_step" and size > 0 for _, size, name in objects),
               "the archive holds machine code and nothing for one linker alone",
               f"{len(objects)} symbols, plain: {is_plain}")
        # .data.rel.ro holds constants with addresses in them: written by the loader, then sealed.
        writable = [(name, section) for section, size, name in objects if size > 0 and
                    (section == "*COM*" or
                     re.match(r"\.(data(?!\.rel\.ro)|bss|tdata|tbss)", section))]
        TAP.ok(not writable, "nothing in it is writable", *writable)

    def run_examples(self):
        names = sorted(os.path.basename(path) for path in glob.glob(self.examples + "/*"))
        TAP.ok(names == sorted(EXAMPLES), "every example is tested", names)
        with open(os.path.join(self.examples, "embed.c"), encoding="utf-8") as file:
            lines = len(file.readlines())
        TAP.ok(lines <= EMBED_LINES_MAX, "the first example fits on a screen", f"{lines} lines")
        for name in names:
            for is_static in (False, True):
                how = "statically" if is_static else "shared"
                program = os.path.join(self.directory, f"{name}-{how}")
                result = self.compile(os.path.join(self.examples, name), program, is_static)
                TAP.ok(result.returncode == 0, f"{name} links {how}", *done(result))
                if result.returncode != 0:
                    continue
                result = self.start(program, is_static)
                TAP.ok(result.returncode == 0 and re.fullmatch(EXAMPLES[name], result.stdout),
                       f"{name} linked {how} ends as it should", *done(result))

    def page(self):
        """docs/embedding.md: nothing left out, nothing that is not so."""
        with open(os.path.join(self.prefix, "share", "doc", "tricast", "embedding.md"),
                  encoding="utf-8") as file:
            page = file.read()
        named = set(re.findall(r"\b(tri_\w+)\(\)", page))
        TAP.ok(API <= named, "embedding.md names every function", sorted(API - named))
        TAP.ok(named <= API | {"tri_chain_handler"}, "embedding.md names no other",
               sorted(named - API))
        with open(source_of("tricast/message.h"), encoding="utf-8") as file:
            results = set(re.findall(r"^    (TRI_(?:OK|STALE|VIOLATION|FULL|MORE|GONE)) = ",
                                     file.read(), re.MULTILINE))
        told = set(re.findall(r"^\| `(TRI_[A-Z]+)`", page, re.MULTILINE))
        TAP.ok(len(results) == 6 and results == told, "its table has every result", results ^ told)

        program = os.path.join(self.directory, "defaults")
        result = self.compile(os.path.join(SOURCE_DIR, "tests", "install", "defaults.c"), program,
                              False)
        TAP.ok(result.returncode == 0, "a program that prints the defaults links", *done(result))
        rows = dict(line.split(" ", 1) for line in
                    self.start(program, False).stdout.splitlines())
        version = rows.pop("version", None)
        TAP.ok(self.pkg_config("--modversion") == [version], "tri_version() is pkg-config's",
               version)
        table = dict(re.findall(r"^\| `options\.([\w.\[\]]+)` \| ([^|]*?) \|", page, re.MULTILINE))
        table = {name: value.replace(",", "") for name, value in table.items()}
        TAP.ok(len(rows) > 10 and rows == table, "its table has the defaults as they are",
               *(f"{name}: is {rows.get(name)}, told {table.get(name)}"
                 for name in sorted(set(rows) | set(table)) if rows.get(name) != table.get(name)))


def main():
    with tempfile.TemporaryDirectory(prefix="tricast-install-") as directory:
        at = Installed(directory)
        return TAP.run(at.install, at.pkg_config_file, at.headers, at.symbols, at.data,
                       at.run_examples, at.page)


if __name__ == "__main__":
    sys.exit(main())
