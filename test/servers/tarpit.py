#!/usr/bin/python3
"""A mail server on this machine that agrees to everything and reads the text of a mail as slowly as it can: a few octets now and then.

    tarpit.py FILE      listens on 127.0.0.1, and writes the port into FILE once it does
"""
import asyncio
import os
import socket
import sys


async def serve(reader, writer):
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    writer.write(b"220 tarpit\r\n")
    try:
        while line := await reader.readline():
            if line.upper().startswith(b"DATA"):
                writer.write(b"354 go on\r\n")
                while await reader.read(16):
                    await asyncio.sleep(0.5)
                return
            writer.write(b"250 yes\r\n")
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=64)
    with open(sys.argv[1] + ".new", "w", encoding="ascii") as file:
        file.write(str(server.sockets[0].getsockname()[1]))
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    await server.serve_forever()


asyncio.run(main())
