"""Does what systemd does with a .socket unit: binds addresses, starts a program that inherits them (LISTEN_FDS), and starts it again on
SIGHUP when it has ended. The sockets stay open all the time. SIGTERM ends both.

    hold_sockets.py PORT... -- COMMAND...
"""
import os
import signal
import socket
import sys
import time

FIRST = 3  # SD_LISTEN_FDS_START

split = sys.argv.index("--")
ports, command = sys.argv[1:split], sys.argv[split + 1:]
sockets = []
for port in ports:
    one = socket.create_server(("127.0.0.1", int(port)), backlog=4096)
    sockets.append(one)

asked = {"restart": False, "stop": False}
signal.signal(signal.SIGHUP, lambda *_: asked.update(restart=True))
signal.signal(signal.SIGTERM, lambda *_: asked.update(stop=True))


def start():
    child = os.fork()
    if child:
        return child
    moved = [os.dup(one.fileno()) for one in sockets]  # none of them is in the way of the others
    high = [os.dup2(file, 100 + i, inheritable=False) for i, file in enumerate(moved)]
    for i, file in enumerate(high):
        os.dup2(file, FIRST + i, inheritable=True)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sockets)))
    os.execvp(command[0], command)


process = start()
while True:
    if asked["restart"] or asked["stop"]:
        os.kill(process, signal.SIGTERM)
        os.waitpid(process, 0)
        if asked["stop"]:
            break
        asked["restart"] = False
        process = start()
    time.sleep(0.02)
