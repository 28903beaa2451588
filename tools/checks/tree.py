"""The project's files as the checks see them: text with and without comments, and programs that may be missing."""

import os
import re
import shutil
import subprocess

ROOMS = ("lib", "boot", "apic", "smp", "mm", "dev", "kernel", "bench", "tests", "user")
IGNORED = {".git", "build", "__pycache__"}
TEXT = (".c", ".h", ".asm", ".inc", ".ld", ".md", ".py", ".cfg", ".json", ".yml", ".mk", ".txt")


class Skip(Exception):
    """This machine cannot run the check; the text says what is missing."""


class Finding:
    def __init__(self, path, line, what):
        self.path, self.line, self.what = path, line, what

    def __str__(self):
        return f"{self.path}:{self.line}: {self.what}" if self.line else f"{self.path}: {self.what}"


class Tree:
    def __init__(self, top):
        self.top = top
        self.texts = {}

    def files(self, *suffixes, under=""):
        """Paths, relative to the top, of the project's own files; without suffixes: every text file."""
        found = []
        for folder, folders, files in os.walk(os.path.join(self.top, under)):
            folders[:] = sorted(f for f in folders if f not in IGNORED)
            for name in sorted(f for f in files if f not in IGNORED):  # in a worktree .git is a file
                path = os.path.relpath(os.path.join(folder, name), self.top)
                if path.endswith(suffixes) if suffixes else self.is_text(path):
                    found.append(path)
        return found

    def is_text(self, path):
        name = os.path.basename(path)
        if name.endswith(TEXT) or "." not in name.lstrip("."):
            return b"\0" not in self.raw(path)[:4096]
        return False

    def raw(self, path):
        with open(os.path.join(self.top, path), "rb") as f:
            return f.read()

    def text(self, path):
        if path not in self.texts:
            self.texts[path] = self.raw(path).decode("utf-8", "replace")
        return self.texts[path]

    def lines(self, path):
        return self.text(path).split("\n")

    def code_lines(self, path):
        """The lines with comments blanked out; string literals stay."""
        return blank_comments(self.text(path), path.endswith((".asm", ".inc"))).split("\n")

    def sources(self):
        """C and assembly of all rooms."""
        return [p for p in self.files(".c", ".h", ".asm", ".inc") if p.split("/")[0] in ROOMS]

    def run(self, command, env=None):
        result = subprocess.run(command, cwd=self.top, env=env, capture_output=True, check=False)
        return result.returncode, (result.stdout + result.stderr).decode("utf-8", "replace")


def blank_comments(text, assembly=False):
    pattern = r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|" + (r";[^\n]*" if assembly else r"/\*.*?\*/|//[^\n]*")

    def replace(match):
        s = match.group(0)
        return s if s[0] in "\"'" else re.sub(r"[^\n]", " ", s)

    return re.sub(pattern, replace, text, flags=re.S)


def need(*programs):
    """The first of the programs that is installed."""
    for program in programs:
        if shutil.which(program):
            return program
    raise Skip(f"{' or '.join(programs)} is not installed: run tools/setup")
