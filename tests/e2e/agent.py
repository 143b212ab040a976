"""agent.py PROGRAM: plays the controller of one real agent, well and badly. Prints FAILED lines; ends in a count."""
import concurrent.futures
import json
import os
import queue
import subprocess
import sys
import threading
import time

program = sys.argv[1]
TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
    TABLE.append(byte)


def crc(data):
    c = 0xFFFFFFFF
    for byte in data:
        c = TABLE[(c ^ byte) & 0xFF] ^ (c >> 8)
    return c ^ 0xFFFFFFFF


def seal(obj):
    body = json.dumps(obj, separators=(",", ":"))[:-1].encode()
    return body + b',"c":"%08x"}\n' % crc(body)


class Agent:
    def __init__(self, read=True):
        self.process = subprocess.Popen([program, "agent", "--node", "n1", "--root", ""], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.began = time.monotonic()
        self.lines = queue.Queue()
        self.seen = []
        if read:
            threading.Thread(target=self.read, daemon=True).start()
            hello = self.expect("hello")
            assert hello["n"] == 1 and hello["boot"], hello

    def read(self):
        for line in self.process.stdout:
            assert len(line) <= 1001, line
            body, end = line[:-17], line[-17:]
            assert end == b',"c":"%08x"}\n' % crc(body), line
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def put(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, e, **more):
        self.put(seal({"e": e, **more}))

    def expect(self, e, seconds=20, **members):
        """The next line of this kind with these members; others go to self.seen."""
        end = time.monotonic() + seconds
        while True:
            try:
                line = self.lines.get(timeout=max(0, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {e} {members}; last: {self.seen[-3:]}") from None
            assert line is not None, f"it left, no {e} {members}"
            self.seen.append(line)
            if line["e"] == e and all(line.get(k) == v for k, v in members.items()):
                return line

    def sync(self):
        """All that was sent before has been dealt with when this is answered; what came until then."""
        self.seen.clear()
        self.send("ping", k=77)
        self.expect("pong", k=77)
        return [line for line in self.seen if line["e"] not in ("beat", "pong")]

    def order(self, step, script, damage=None, to="n1", seconds=60, run=True, argv=None):
        """The order of a step that runs a script; damage(i, line) may change or drop one of its lines."""
        figures = "value\tregex\tvalue ([0-9]+)\n"
        knobs = [("exit", "0\n"), ("figures", figures), ("timeout", "600s"), ("output", "16MiB")]
        argv = "sh\n-c\n" + script + "\n" if argv is None else argv
        knobs += [("argv", argv[i:i + 60]) for i in range(0, len(argv), 60)]
        lines = [seal({"e": "with", "step": step, "k": k, "v": v, "to": to}) for k, v in knobs]
        lines.append(seal({"e": "run", "with": len(knobs), "step": step, "check": "program", "unit": "p",
                           "deadline": seconds, "to": to}))
        for i, line in enumerate(lines if run else lines[:-1]):
            self.put(damage(i, line) if damage else line)

    def leaves(self, seconds):
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it is still there after {seconds} s") from None

    def end(self):
        self.process.stdin.close()
        self.leaves(8)


def gone(marker, seconds=3):
    """No process has this word in its command line."""
    end = time.monotonic() + seconds
    while True:
        found = subprocess.run(["pgrep", "-f", marker], stdout=subprocess.PIPE, text=True).stdout.split()
        if not found:
            return
        assert time.monotonic() < end, f"left behind: {found}"
        time.sleep(0.1)


SIX = "for i in 1 2 3 4 5 6; do echo value 42; done"


def numbers_and_pings():
    a = Agent()
    for k in (0, 3, 10 ** 12, -1):
        a.send("ping", to="n1", k=k)
        pong = a.expect("pong", k=k)
        assert abs(pong["us"] / 1e6 - time.time()) < 5, pong
    a.send("clock", to="n1", offset=1e300, error=-5)
    a.send("clock", to="n1", offset="x")
    a.sync()
    a.end()


def names_of_steps():
    a = Agent()
    for given, own in (("one/p/@", "one/p/n1"), ("one/p/@/r3", "one/p/n1/r3"), ("one/p#2/@/p", "one/p#2/n1/p"),
                       ("one/p/x@", "one/p/x@"), ("one/p/@x", "one/p/@x"), ("", ""), ("x" * 300, "x" * 300)):
        a.order(given, SIX)
        end = a.expect("end")
        assert end["step"] == own and end["word"] == "done" and end["lines"] == 6, end
    a.end()


def orders_for_others():
    a = Agent()
    for to in ("n2", "n[2-9]", "n1x", "n", "n[", "n[1-", "n[5-1]", "n1,", "*", "n[1-99999999]", "N1"):
        a.order("one/p/@", SIX, to=to)
    assert a.sync() == [], a.seen
    a.order("one/p/@", SIX, to="a7,n[0-3,9],z")
    assert a.expect("end")["word"] == "done"
    a.end()


def damaged_orders():
    def flip(i, line):
        return line.replace(b"echo", b"ehco") if b"echo" in line else line

    a = Agent()
    what = {
        "with damaged": flip,
        "with lost": lambda i, line: b"" if i == 1 else line,
        "with doubled": lambda i, line: line * 2 if i == 1 else line,
        "two joined": lambda i, line: line[:-1] if i == 0 else line,
    }
    for name, damage in what.items():
        a.order("one/p/@", SIX, damage)
        end = a.expect("end")
        assert end["word"] == "lost" and "damaged on its way" in end["why"], (name, end)
        assert end["lines"] == 0, end
    a.order("one/p/@", SIX, lambda i, line: line[:-5] + b"\n" if b'"run"' in line else line)
    assert [line["e"] for line in a.sync()] == ["note"], a.seen
    a.end()


def mangled_knobs():
    a = Agent()
    for argv, why in (("", "is empty"), ("sh", "has no end"), ("sh\n-c\n" + SIX, "has no end")):
        a.order("one/p/@", SIX, argv=argv)
        end = a.expect("end")
        assert end["word"] == "error" and end["why"] == "the order for this step is damaged: its argv " + why, end
    a.end()


def rubbish():
    a = Agent()
    a.put(b"\n\n{}\n[]\nnull\n\0\0\n\xff\xfe\n" + b"x" * 5000 + b"\n")
    for e in ("hello", "fact", "data", "note", "end", "beat", "pong", "tele", "mark", "full", "head", "start"):
        a.send(e, to="n1", step="one/p/@", at="n1", n=1)
    for e in ("share", "go"):
        a.send(e, to="n1", step="one/p/@", k="x", v="y", us=1)
    a.send("run", to="n1")
    a.send("run", to="n1", step="one/q/@", check="no_such_check", unit="", deadline=10, **{"with": 0})
    assert "no check is called" in a.expect("end", step="one/q/n1")["why"]
    a.send("run", to="n1", step="one/r/@", check="program", unit={}, deadline="soon", **{"with": 0})
    a.expect("end", step="one/r/n1")
    a.sync()
    a.end()


def same_step_twice():
    a = Agent()
    a.order("one/p/@", "sleep 1; " + SIX)
    a.order("one/p/@", "sleep 1; " + SIX)
    assert a.expect("end")["word"] == "done"
    assert [line for line in a.sync() if line["e"] == "end"] == []
    a.end()


def given_again():
    a = Agent()
    a.order("one/p/@", SIX)
    last = a.expect("end")["n"]
    first = list(a.seen)
    a.send("again", to="n1", **{"from": 2})
    for want in first:
        if want["n"] > 1:
            assert a.expect(want["e"])["n"] == want["n"]
    a.sync()
    for wrong in (10 ** 9, 10 ** 18):
        a.send("again", to="n1", **{"from": wrong})
        assert a.sync() == [], a.seen
    for low in (1, 0, -5):
        a.send("again", to="n1", **{"from": low})
        assert a.expect("hello")["n"] == 1
        a.expect("end", n=last)
        assert not [line for line in a.seen if "first" in line], "nothing is lost yet"
    a.end()


def kept_no_more():
    a = Agent()
    a.order("one/p/@", "yes value 42 | head -5000")
    assert a.expect("end", seconds=60)["lines"] == 5000
    a.sync()
    for _ in range(2):
        a.send("again", to="n1", **{"from": 1})
        beat = next(line for line in iter(lambda: a.expect("beat"), None) if "first" in line)
        n = beat["first"]
        assert beat["n"] - n < 4096 and n > 900, beat
        while n <= beat["n"]: # which is the last line that is given again
            line = a.lines.get(timeout=10)
            assert line["n"] == n, (line, n)
            n += 1
    a.end()


def endless_line():
    a = Agent()
    for _ in range(100):
        a.put(b"y" * (1 << 20))
    a.put(b"\n")
    assert "without an end" in a.expect("note")["text"]
    a.sync()
    with open(f"/proc/{a.process.pid}/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    assert peak < 100 << 10, f"{peak} KiB"
    a.end()


def stopped_by_order():
    a = Agent()
    a.order("one/p/@", ": stopped_marker_1; sleep 300")
    time.sleep(1)
    a.send("stop", to="n2")
    a.sync()
    a.send("stop")
    a.leaves(15)
    while (line := a.lines.get(timeout=1)) is not None:
        assert line["e"] != "end", line
    gone("stopped_marker_1")


def silence():
    a = Agent()
    a.order("one/p/@", ": silent_marker_2; sleep 300")
    said = time.monotonic()
    time.sleep(15)
    assert a.process.poll() is None, "it left too early"
    a.leaves(15)
    assert time.monotonic() - said < 30
    gone("silent_marker_2")


def silence_and_full_pipe():
    a = Agent(read=False)
    a.order("one/p/@", "yes value 42 | head -60000")
    a.order("one/q/@", ": full_marker_3; sleep 300")
    a.leaves(30)
    gone("full_marker_3")


def silence_and_deaf_step():
    """A step that no SIGTERM ends costs five seconds more."""
    a = Agent()
    a.order("one/p/@", ": deaf_marker_4; kill -STOP $PPID; sleep 300")
    a.leaves(36)
    gone("deaf_marker_4")


def end_of_input_and_deaf_step():
    a = Agent()
    a.order("one/p/@", ": deaf_marker_5; kill -STOP $PPID; trap \"\" TERM; sleep 300; sleep 300")
    a.order("one/q/@", ": deaf_marker_5; trap \"\" TERM; sleep 300; sleep 300")
    time.sleep(1)
    a.process.stdin.close()
    a.leaves(10)
    gone("deaf_marker_5")


def asked_while_blocked():
    """Requests for lines that are still on their way must not pile up in the agent's memory."""
    a = Agent(read=False)
    a.order("one/p/@", "yes value 42 | head -20000")
    time.sleep(5)
    for _ in range(300):
        a.send("again", to="n1", **{"from": 16500})
        a.send("ping", to="n1", k=1)
    time.sleep(2)
    with open(f"/proc/{a.process.pid}/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    assert peak < 150 << 10, f"{peak} KiB"
    a.process.stdin.close()
    a.leaves(15)


CASES = [silence, silence_and_full_pipe, silence_and_deaf_step, end_of_input_and_deaf_step, numbers_and_pings, names_of_steps,
         orders_for_others, damaged_orders, mangled_knobs, rubbish, same_step_twice, given_again, kept_no_more,
         endless_line, stopped_by_order, asked_while_blocked]


def run(case):
    began = time.monotonic()
    try:
        case()
    except Exception as why:  # pylint: disable=broad-except
        return f"FAILED {case.__name__}: {type(why).__name__} {why}"
    return f"{case.__name__}: {time.monotonic() - began:.1f} s"


# Four of them mostly wait.
with concurrent.futures.ThreadPoolExecutor(6) as pool:
    results = list(pool.map(run, [c for c in CASES if len(sys.argv) < 3 or c.__name__ in sys.argv[2:]]))
print("\n".join(results))
sys.exit(any(r.startswith("FAILED") for r in results))
