#!/usr/bin/python3
"""A mail server that takes every connection and says nothing, not even a greeting: silent.py FILE

What is sent to it stays on its way until somebody gives up. Writes its port into FILE once it listens.
"""
import os
import socket
import sys

server = socket.create_server(("127.0.0.1", 0), backlog=50)
with open(sys.argv[1] + ".new", "w", encoding="ascii") as file:
    file.write(str(server.getsockname()[1]))
os.rename(sys.argv[1] + ".new", sys.argv[1])
held = []
while True:
    held.append(server.accept()[0])
