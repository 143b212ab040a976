"""hostile.py KIND assay agent --node NODE ...: a real agent behind a wire that somebody has taken over.

Orders and lines pass through; from the moment that the kind names on, lines of its own come in between. They are
numbered, sealed and given again as an agent's are, so nothing but their content gives them away.
"""
import json
import os
import subprocess
import sys
import threading
import time

kind, argv = sys.argv[1], sys.argv[2:]
node = argv[argv.index("--node") + 1]

TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
    TABLE.append(byte)


def seal(obj):
    body = json.dumps(obj, separators=(",", ":"))[:-1].encode()
    c = 0xFFFFFFFF
    for byte in body:
        c = TABLE[(c ^ byte) & 0xFF] ^ (c >> 8)
    return body + b',"c":"%08x"}\n' % (c ^ 0xFFFFFFFF)


lock = threading.RLock()
kept = []
out = sys.stdout.buffer


def put(data):
    try:
        with lock:
            out.write(data)
            out.flush()
    except BrokenPipeError:
        os._exit(0)


def send(obj, **more):
    """One line of ours, in the order in which lines are numbered."""
    with lock:
        line = {k: v for k, v in {**obj, **more}.items() if k not in ("c", "n")}
        kept.append(seal({"at": node, **line, "n": len(kept) + 1} if "e" not in line else
                         {"e": line.pop("e"), "at": line.pop("at", node), **line, "n": len(kept) + 1}))
        put(kept[-1])


def forever(make):
    i = 0
    while True:
        i += 1
        send(make(i))


def flood(command):
    with lock:
        out.flush()
        subprocess.run(["sh", "-c", command], stdout=out, stderr=subprocess.DEVNULL)


def other_step(step):
    return step.replace("/" + node, "/n1")


# ---- what each kind does when it is told to run a step; step is that step's id ----
BYTES = os.environ.get("HOSTILE_BYTES", str(1 << 30))


def not_given(step):
    data = {"e": "data", "m": "value", "v": {"": [99.0]}}
    for wrong in ("one/good/nobody", other_step(step), "", "x" * 300):
        send({**data, "step": wrong})
        send({"e": "fact", "step": wrong, "part": "", "k": "simulated", "v": "yes"})
        send({"e": "end", "step": wrong, "word": "done", "why": "", "seconds": 1, "lines": 1, "t": 1.0})
        if wrong:
            send({"e": "note", "step": wrong, "text": "the other node is broken"})
    for e in ("head", "start", "run", "with", "stop", "again", "ping", "clock", "go", "beat", "pong", "hello"):
        send({"e": e, "step": step, "to": "n1", "schema": "assay.journal/1", "simulated": True, "spec": "0", "t": 1.0,
              "k": "0", "from": 1, "us": 5, "offset": 1e300, "error": -1})
    send({"e": "share", "step": step, "k": "gone", "v": "no such thing"})
    send({"e": "share", "step": step, "k": "ready", "v": ""})


def forged(step):
    for name in ("n1", "", "n3", "n2 ", "n[1-2]"):
        for n in range(1, 40):
            line = {"e": "end", "step": other_step(step), "word": "crash", "why": "forged", "seconds": 1, "lines": 0,
                    "at": name, "n": n}
            put(seal(line))


def odd_figures(step):
    for v in (1e308, -1e308, 5e-324, -0.0):
        send({"e": "data", "step": step, "m": "value", "v": {"": [v]}})
    send({"e": "data", "step": step, "m": "value", "v": {"n1/gpu0": [99.0], "\u202e\U0001f4a5": [99.0]}})
    send({"e": "data", "step": step, "m": "value", "v": {"": ["99", None, {}]}})
    send({"e": "data", "step": step, "m": "value", "v": [99.0]})
    send({"e": "data", "step": step, "m": {}, "v": {"": [99.0] * 100}})
    send({"e": "fact", "step": step, "part": 5, "k": None, "v": []})
    send({"e": "end", "step": step, "word": "done", "why": "\u009b2J", "seconds": -1e300, "lines": 1e300, "t": 1e300})
    send({"e": "end", "step": step, "word": "done", "why": "twice", "seconds": 1, "lines": 1, "t": -1e300})


KINDS = {
    "honest": lambda step: None,
    "not-given": not_given,
    "forged": forged,
    "odd-figures": odd_figures,
    "endless-line": lambda step: flood("tr '\\0' x </dev/zero"),
    "long-line": lambda step: flood(f"head -c {BYTES} /dev/zero | tr '\\0' x; echo"),
    "rubbish": lambda step: flood("yes 'Welcome to n2. Have a nice day.'"),
    "notes": lambda step: forever(lambda i: {"e": "note", "text": "x" * 400}),
    "step-notes": lambda step: forever(lambda i: {"e": "note", "step": step, "text": "y" * 400}),
    "data": lambda step: forever(lambda i: {"e": "data", "step": step, "m": "value", "v": {"": [42.0]}}),
    "names": lambda step: forever(lambda i: {"e": "data", "step": step, "m": f"m{i}" + "z" * 300,
                                             "v": {f"s{i}" + "z" * 400: [42.0]}}),
    "marks": lambda step: forever(lambda i: {"e": "mark", "t": 1e300 if i % 2 else "never", "part": f"gpu{i}\u009b2J/../" + "(" * 300,
                                             "what": f"k{i}", "text": "%n\u202e, (" * 40 + "(7 series)"}),
    "watches": lambda step: forever(lambda i: {"e": "watch", "word": "gap", "since": 1.0, "t": 1.0}),
    "beats": lambda step: forever(lambda i: {"e": "beat", "t": 1.0}),
}


def from_controller():
    for line in sys.stdin.buffer:
        try:
            obj = json.loads(line)
        except ValueError:
            continue
        if obj["e"] == "again":
            with lock:
                for old in kept[obj["from"] - 1:]:
                    put(old)
            continue
        agent.stdin.write(line)
        agent.stdin.flush()
        if obj["e"] == "run" and "slow" in obj["step"]:
            threading.Thread(target=KINDS[kind], args=[obj["step"].replace("/@", "/" + node)], daemon=True).start()
    agent.stdin.close()


def from_agent():
    for line in agent.stdout:
        obj = json.loads(line)
        # These need some time, so their step never ends.
        if kind not in ("data", "names") or obj["e"] != "end" or "slow" not in obj["step"]:
            send(obj)
    os._exit(0)


agent = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
threading.Thread(target=from_agent, daemon=True).start()
from_controller()
time.sleep(15)
