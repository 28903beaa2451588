"""A machine in QEMU that is used as a person would: by its screen, read as a picture, and its keyboard. For tools/screen-test and the tests of menus."""

import gzip
import json
import os
import socket
import struct
import subprocess
import sys
import time
import zlib

sys.dont_write_bytecode = True
import machine  # noqa: E402
from report import TOP  # noqa: E402

OUT = os.path.join(TOP, "build", "screen")
FONT = os.path.join(os.environ.get("FONT_DIR", "/usr/share/consolefonts"), "Uni2-Terminus16.psf.gz")
LIMIT = 240  # seconds; a hang detector
KEYS = {" ": "spc", "\n": "ret", "-": "minus", "=": "equal", "*": "shift-8", "?": "shift-slash", ",": "comma", ".": "dot",
        "_": "shift-minus", "\t": "tab"}


class Font:
    """PSF version 1: its glyphs by their rows, as text."""

    def __init__(self, path):
        with gzip.open(path) as f:
            data = f.read()
        count, self.height = 512 if data[2] & 1 else 256, data[3]
        glyphs = [data[4 + i * self.height: 4 + (i + 1) * self.height] for i in range(count)]
        self.text, table, glyph, sequence = {}, data[4 + count * self.height:], 0, False
        for i in range(0, len(table) - 1, 2):
            code = table[i] | table[i + 1] << 8
            if code == 0xFFFF:
                glyph, sequence = glyph + 1, False
            elif code == 0xFFFE:
                sequence = True
            elif not sequence and (glyphs[glyph] not in self.text or 0x20 <= code < 0x7F):
                self.text[glyphs[glyph]] = chr(code)


def read_ppm(path):
    """Width, height and RGB bytes of a picture that QEMU has made."""
    with open(path, "rb") as f:
        data = f.read()
    fields, at = [], 0
    while len(fields) < 4:
        end = at
        while data[end:end + 1] not in (b" ", b"\n"):
            end += 1
        fields.append(data[at:end])
        at = end + 1
    return int(fields[1]), int(fields[2]), data[at:]


def write_png(path, width, height, rgb):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    lines = b"".join(b"\0" + rgb[y * width * 3:(y + 1) * width * 3] for y in range(height))
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
                + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b""))


def read_text(width, height, data, font):
    """The rows of text of a picture."""
    at, rows = 0, []
    for top in range(0, height - font.height + 1, font.height):
        row = ""
        for left in range(0, width - 7, 8):
            cell = [data[at + ((top + y) * width + left) * 3: at + ((top + y) * width + left + 8) * 3] for y in range(font.height)]
            pixels = [[line[3 * x:3 * x + 3] for x in range(8)] for line in cell]
            ground = pixels[0][0]
            bits = bytes(sum((p != ground) << (7 - x) for x, p in enumerate(line)) for line in pixels)
            row += font.text.get(bits) or font.text.get(bytes(b ^ 0xFF for b in bits), "?")
        rows.append(row.rstrip())
    return rows


class Guest:
    """QEMU, spoken to by its machine protocol. words: the kernel's command line. serial: where the serial port writes to, and none without it."""

    def __init__(self, name, settings, words, serial="none", iso=None):
        self.font = Font(FONT)
        self.folder = os.path.join(OUT, name)
        os.makedirs(self.folder, exist_ok=True)
        env = {"KERNEL": os.path.join(TOP, "build/volley.elf"), "SMP": "2", "TCG": "multi", "ACCEL": "tcg", **settings}
        s = machine.Settings(env, True)
        s.words = words
        if iso:
            s.iso = iso
        else:
            machine.make_iso(s, self.folder)
        command = machine.qemu_command(s, self.folder, serial=serial)
        path = os.path.join(self.folder, "qmp")
        if os.path.exists(path):
            os.remove(path)
        self.process = subprocess.Popen(command + ["-qmp", f"unix:{path},server=on,wait=off"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.picture = os.path.join(OUT, name + ".ppm")
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            machine.connect(self.socket, path, self.process)
            self.file = self.socket.makefile("rw")
            self.file.readline()
            self.say("qmp_capabilities")
        except OSError:
            self.process.kill()
            raise

    def worked(self):
        """Seconds that QEMU has had of the host's CPUs."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            user, system = f.read().rsplit(")", 1)[1].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def say(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            line = self.file.readline()
            if not line:
                raise OSError("QEMU has ended")
            answer = json.loads(line)
            if "return" in answer or "error" in answer:
                return answer

    def shoot(self, path=None):
        """The screen as (width, height, RGB bytes), kept as a PNG; None if there is nothing to see yet."""
        if "error" in self.say("screendump", filename=self.picture):
            return None
        width, height, rgb = read_ppm(self.picture)
        write_png(path or self.picture.replace(".ppm", ".png"), width, height, rgb)
        return width, height, rgb

    def rows(self, most=None):
        """The rows of text on the screen, or the upper ones of them."""
        shot = self.shoot()
        if not shot:
            return []
        width, height, rgb = shot
        return read_text(width, min(height, most * self.font.height) if most else height, rgb, self.font)

    def bytes_read(self):
        """From the boot medium, since the machine was switched on."""
        drives = self.say("query-blockstats")["return"]
        return sum(d["stats"]["rd_bytes"] for d in drives if d.get("device") == "boot")

    def press(self, *keys):
        """Keys at the same time, by QEMU's names."""
        self.say("send-key", keys=[{"type": "qcode", "data": k} for k in keys])
        time.sleep(0.05)

    def type(self, text):
        for c in text:
            self.press(*(KEYS[c].split("-") if c in KEYS else ("shift", c.lower()) if c.isupper() else (c,)))

    def wait_for(self, *words, limit=LIMIT, most=None):
        """The rows, once each of the words is in one of them; None if that never happens. Seconds that it took: self.seconds."""
        return self.wait_until(lambda rows: all(any(w in row for row in rows) for w in words), limit, most)

    def wait_until(self, done, limit=LIMIT, most=None):
        start = time.monotonic()
        while True:
            rows, self.seconds = self.rows(most), time.monotonic() - start
            if done(rows):
                return rows
            if self.seconds > limit or self.process.poll() is not None:
                return None
            time.sleep(0.3)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.socket.close()
