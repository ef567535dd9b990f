"""What the processes of a run tell each other, see `process_group`."""

import dataclasses


@dataclasses.dataclass
class Beat:
    """What a process tells the others, again and again.

    Attributes:
      session: the same for all processes of this session, and for no other.
      process, host, pid: who it is.
      beats: grows as long as the process lives.
      moves: grows as long as its training gets on.
      meetings: how many things it has come to that all processes do together.
      doing: what its training is at.
      stopping: whether it was asked to stop.
      suspicious: whether something failed in it, as a rule because another one is gone.
      ended: why it has ended, if it has.
    """

    session: int
    process: int
    host: str
    pid: int
    beats: int = 0
    moves: int = 0
    meetings: int = 0
    doing: str = "starting"
    stopping: bool = False
    suspicious: bool = False
    ended: str = ""

    def __str__(self) -> str:
        return f"Process {self.process} (pid {self.pid} on {self.host})"
