"""files are plain: size, blanks, no foreign hosts or paths

No file of code over 500 lines, no tabs outside of Makefiles, no blanks at line ends, a newline at the end, no address of a package
registry or mirror, no path of somebody's machine, no TODO.
"""

import re

from tree import Finding

LINES_MAX = 500
# Where a reader is sent: specifications, licences, other projects' sources.
HOSTS = {
    "www.gnu.org", "uefi.org", "www.intel.com", "www.amd.com", "docs.kernel.org", "www.kernel.org", "github.com",
    "www.qemu.org", "bochs.sourceforge.io", "opensource.org", "spdx.org", "nothings.org", "lore.kernel.org",
    "patents.google.com", "www.debian.org",
}
URL = re.compile(r"\b(?:https?|ftp)://([A-Za-z0-9.-]+)")
MACHINE_PATH = re.compile(r"(?<![\w.~])/(?:home|root|work|Users|mnt|tmp)/\w")
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")


def check(tree):
    for path in tree.files():
        if path.startswith("tests/fuzz/corpus/"):
            continue  # inputs, byte for byte
        lines = tree.lines(path)
        if path.split("/")[0] != "docs" and not path.endswith((".md", "LICENSE")) and len(lines) > LINES_MAX:
            yield Finding(path, len(lines), f"the file has {len(lines)} lines; at most {LINES_MAX}, split it by question")
        if lines[-1]:
            yield Finding(path, len(lines), "the last line has no newline")
        for number, line in enumerate(lines, 1):
            yield from check_line(path, number, line)


def check_line(path, number, line):
    if line != line.rstrip():
        yield Finding(path, number, "blanks at the end of the line")
    if "\t" in line and not path.endswith(("Makefile", ".mk")):
        yield Finding(path, number, "a tab; indent with blanks")
    for host in URL.findall(line):
        if host not in HOSTS:
            yield Finding(path, number, f"host {host} is not one that readers are sent to (tools/checks/text.py)")
    if path.startswith("tools/checks/"):
        return  # the patterns themselves
    if MACHINE_PATH.search(line):
        yield Finding(path, number, "a path of one machine; paths are relative to the tree's top")
    if UNFINISHED.search(line):
        yield Finding(path, number, "unfinished work; finish it, or say in docs/caveats.md what is not covered")
