"""The machines tools/run can start: settings from the environment, and the command lines of QEMU and Bochs."""
import os
import re
import shlex
import shutil
import socket
import subprocess
import time

TOOLS = os.path.dirname(os.path.abspath(__file__))
which = shutil.which

# Where distributions keep UEFI firmware: the code, and the variables that it wants a writable copy of.
OVMF = [
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
]


class Wrong(Exception):
    """A setting that cannot be used, or a tool that is missing."""


class Settings:
    def __init__(self, env, terminal):
        def get(name, default):
            return env.get(name) or default

        def choose(name, default, allowed):
            value = get(name, default)
            if value not in allowed:
                raise Wrong(f"{name}={value}: allowed are {', '.join(allowed)}")
            return value

        self.kernel = get("KERNEL", "build/volley.elf")
        self.emulator = choose("EMULATOR", "qemu", ("qemu", "bochs"))
        self.firmware = choose("FIRMWARE", "bios", ("bios", "uefi"))
        self.medium = choose("MEDIUM", "cd", ("cd", "usb", "disk"))
        self.accel = choose("ACCEL", "kvm" if kvm_usable() else "tcg", ("tcg", "kvm"))
        host = os.cpu_count() or 1
        self.smp = get("SMP", str(min(8, max(2, host))))
        if not re.fullmatch(r"[1-9][0-9]*(,[a-z]+=[0-9]+)*", self.smp):
            raise Wrong(f"SMP={self.smp}: allowed is a number of CPUs, for QEMU with a topology behind it "
                        "(6,sockets=2,cores=3,threads=1)")
        self.cpus = int(self.smp.split(",")[0])
        self.thread = choose("TCG", "multi" if self.cpus <= host else "single", ("single", "multi"))
        self.memory = get("MEM", "512M")
        if not re.fullmatch(r"[1-9][0-9]*[MG]", self.memory):
            raise Wrong(f"MEM={self.memory}: allowed is a number with M or G")
        self.cpu = get("CPU", "corei7_icelake_u" if self.emulator == "bochs" else "host" if self.accel == "kvm" else "max")
        self.tb_size = get("TB_SIZE", None)
        if self.tb_size and not re.fullmatch(r"[1-9][0-9]*", self.tb_size):
            raise Wrong(f"TB_SIZE={self.tb_size}: allowed is a number of MiB")
        self.extra = shlex.split(get("QEMU_EXTRA", ""))
        self.out = get("OUT", None)
        self.debugger = get("DEBUGGER", "0") == "1"
        # Bochs has no way in for what is typed.
        self.interactive = terminal and self.emulator == "qemu" and not self.debugger
        try:
            self.timeout = float(get("TIMEOUT", "0" if self.interactive else "300"))
        except ValueError:
            raise Wrong(f"TIMEOUT={env['TIMEOUT']}: allowed is a number of seconds; 0 for none") from None
        self.words = shlex.split(get("ARGS", ""))
        if not self.interactive and not self.debugger and "quit" not in self.words:
            self.words.append("quit")
        # Nobody sees the screen of these machines, and drawing takes emulated time. ARGS=screen=auto is for who looks.
        if not any(w.startswith("screen=") for w in self.words):
            self.words.append("screen=off")
        if self.emulator == "bochs" and (self.firmware == "uefi" or self.cpus != int_or_none(self.smp) or self.extra):
            raise Wrong("EMULATOR=bochs has no FIRMWARE=uefi, no topology in SMP, no QEMU_EXTRA")
        if self.emulator == "bochs" and self.cpus > BOCHS_CPUS:
            raise Wrong(f"EMULATOR=bochs has at most {BOCHS_CPUS} CPUs: its 64 timers serve no more")
        if not os.path.exists(self.kernel):
            raise Wrong(f"{self.kernel} does not exist: run make")

    def apic_ids_above_255(self):
        """Whether an APIC id can exceed 255: ids have a whole number of bits for each level of the topology."""
        counts = dict(part.split("=") for part in self.smp.split(",")[1:])
        ids = int(counts.get("sockets", 1)) if counts else self.cpus
        for level in ("dies", "clusters", "cores", "threads"):
            ids *= 1 << (int(counts.get(level, 1)) - 1).bit_length()
        return max(ids, self.cpus) > 255


def int_or_none(text):
    return int(text) if text.isdigit() else None


def kvm_usable():
    """/dev/kvm alone is not enough: without VMX or SVM it is shadow paging under another hypervisor, which is slow and can
    never show a stale translation."""
    try:
        with open("/proc/cpuinfo") as f:
            if not re.search(r"^flags\s*:.*\b(vmx|svm)\b", f.read(), re.M):
                return False
        os.close(os.open("/dev/kvm", os.O_RDWR))
        return True
    except OSError:
        return False


def free_port():
    """A TCP port for GDB: 1234 if nobody else debugs here, or any."""
    for port in (1234, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return probe.getsockname()[1]
            except OSError:
                continue
    raise Wrong("no free TCP port for GDB")


def make_iso(s, work):
    s.iso = os.path.join(work, "volley.iso")
    # In Bochs GRUB dies when it switches to a framebuffer (a triple fault in its own code), and nobody looks at that screen.
    video = {"VIDEO": "text"} if s.emulator == "bochs" else {}
    made = subprocess.run([os.path.join(TOOLS, "mkiso"), s.kernel, s.iso, "0", *s.words], env=dict(os.environ, **video))
    if made.returncode:
        raise Wrong("the boot medium could not be made")


def qemu_command(s, work, serial=None):
    qemu = which("qemu-system-x86_64")
    if not qemu:
        raise Wrong("qemu-system-x86_64 is not installed: run tools/setup")
    accel = "kvm" if s.accel == "kvm" else f"tcg,thread={s.thread}" + (f",tb-size={s.tb_size}" if s.tb_size else "")
    big = s.apic_ids_above_255()
    split = ",kernel-irqchip=split" if big and s.accel == "kvm" else ""
    command = [qemu, "-machine", f"q35{split}", "-accel", accel, "-cpu", s.cpu, "-smp", s.smp, "-m", s.memory,
               "-display", "none", "-no-reboot", "-nic", "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    if big:
        command += ["-device", "intel-iommu,intremap=on,eim=on"]
    if s.firmware == "uefi":
        pair = next((p for p in OVMF if all(map(os.path.exists, p))), None)
        if not pair:
            raise Wrong("no UEFI firmware (OVMF) found: run tools/setup")
        variables = os.path.join(work, "vars.fd")
        shutil.copyfile(pair[1], variables)
        command += ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={pair[0]}",
                    "-drive", f"if=pflash,unit=1,format=raw,file={variables}"]
    drive = f"if=none,id=boot,format=raw,readonly=on,file={s.iso}"
    device = {"cd": ["ide-cd,drive=boot,bootindex=0"],
              "usb": ["qemu-xhci", "usb-storage,drive=boot,bootindex=0"],
              "disk": ["virtio-blk-pci,drive=boot,bootindex=0"]}[s.medium]
    command += ["-drive", drive]
    for d in device:
        command += ["-device", d]
    if serial:
        command += ["-serial", serial, "-monitor", "none"]
    elif s.interactive:
        command += ["-serial", "mon:stdio"]  # Ctrl-a x ends QEMU, Ctrl-c goes to the kernel
    else:
        command += ["-serial", "stdio", "-monitor", "none"]
    return command + s.extra


def emulator_version(s):
    """What the emulator says of itself ("2.7", "10.0.2"), or None. The kernel cannot ask: none of them has a number for its guest."""
    program, word, pattern = {"bochs": ("bochs", "--help", r"Bochs x86 Emulator (\S+)"),
                              "qemu": ("qemu-system-x86_64", "--version", r"QEMU emulator version (\S+)")}[s.emulator]
    if not which(program):
        return None
    said = subprocess.run([program, word], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False).stdout
    found = re.search(pattern, said.decode("ascii", "replace"))
    return found.group(1) if found else None


BOCHS_CPUS = 15
BOCHSRC = """\
# No display is wanted, but Debian's build has no display library without one: a VNC server that nobody waits for.
display_library: rfb, options="timeout=0"
plugin_ctrl: speaker=0
sound: driver=dummy
romimage: file={bios}
vgaromimage: file={vga}
megs: {megs}
cpu: model={cpu}, count={cpus}, ips=100000000, reset_on_triple_fault=0, ignore_bad_msrs=0
# Not bound to the host's clock and always begun at the same date: the same ISO runs the same way each time.
clock: sync=none, time0=946684800
ata0-master: type={kind}, path="{iso}"{status}
boot: {boot}
com1: enabled=1, mode=file, dev="{serial}"
# The kernel recognises Bochs by this port.
port_e9_hack: enabled=1
log: {log}
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
"""


def bochs_command(s, work, serial):
    bochs = which("bochs")
    if not bochs:
        raise Wrong("bochs is not installed: run tools/setup")
    if s.medium == "usb":
        raise Wrong("EMULATOR=bochs boots from MEDIUM=cd or disk")
    megs = int(s.memory[:-1]) * (1024 if s.memory.endswith("G") else 1)
    config, rc = os.path.join(work, "bochsrc"), os.path.join(work, "rc")
    with open(config, "w") as f:
        f.write(BOCHSRC.format(bios=find_rom("BIOS-bochs-latest"), vga=find_rom("VGABIOS-lgpl-latest"), megs=megs,
                               cpu=s.cpu, cpus=s.cpus, iso=s.iso, serial=serial, log=os.path.join(work, "bochs.log"),
                               kind="cdrom" if s.medium == "cd" else "disk",
                               status=", status=inserted" if s.medium == "cd" else ", mode=flat",
                               boot="cdrom" if s.medium == "cd" else "disk"))
    with open(rc, "w") as f:
        f.write("c\n")  # Debian's build stops in its debugger at reset
    return [bochs, "-q", "-f", config, "-rc", rc]


def connect(to, path, process):
    """Joins a socket to the one at path, as soon as QEMU, `process`, listens there; an OSError if it ends before."""
    while True:
        try:
            to.connect(path)
            return
        except OSError:
            if process.poll() is not None:
                raise
            time.sleep(0.05)


def find_rom(name):
    for folder in ("/usr/share/bochs", "/usr/local/share/bochs", "/usr/share/vgabios"):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            return path
    raise Wrong(f"Bochs' {name} not found: run tools/setup")
