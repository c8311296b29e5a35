"""Run the initiators that Debian ships, as their users do."""

import asyncio
from pathlib import Path


async def run_tool(*argv: str | Path, limit_s: float = 60.0) -> str:
    """Run a program and return what it printed, errors included; it must exit with 0."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(limit_s):
            printed, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    output = printed.decode("utf-8", "replace")
    assert process.returncode == 0, f"{' '.join(map(str, argv))}: exit status {process.returncode}\n{output}"
    return output
