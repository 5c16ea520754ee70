"""Papermill engine that ends a notebook whose output is too large, and starts a kernel again that died at its start."""

from typing import Any

from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines

#: Name of the engine for papermill.
NAME = "ccprune"
#: Largest number of characters that a notebook may print and display. The longest committed report has 0.7 million.
LIMIT = 50_000_000
#: Largest number of starts of a kernel. Its ports are chosen before it opens them, and two kernels that start at one
#: moment may have one in common; the second then dies.
STARTS = 3


class OutputTooLarge(RuntimeError):
    """Raised if a notebook prints or displays more than `LIMIT` characters."""


class _Client(PapermillNotebookClient):
    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.characters = 0

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Process a message of the kernel, or kill the kernel if the messages are too long."""
        if msg["msg_type"] != "status":
            self.characters += len(str(msg["content"]))
        if self.characters > LIMIT:
            self.km.provisioner.process.kill()  # nbclient waits for the cell, and raises when the kernel is dead
            return None
        return super().process_message(msg, cell, cell_index)


class _Engine(NBClientEngine):
    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, start_timeout: int, execution_timeout: int, **_: Any
    ) -> None:
        """Execute the notebook; papermill calls this."""
        limits = {"startup_timeout": start_timeout, "timeout": execution_timeout}
        for start in range(1, STARTS + 1):
            client = _Client(nb_man, kernel_name=kernel_name, **limits)
            try:
                return client.execute()
            except DeadKernelError as error:  # while a cell was executed
                if client.characters > LIMIT:
                    raise OutputTooLarge(f"the output has more than {LIMIT:,} characters: print less") from error
                raise
            except RuntimeError as error:
                if start == STARTS or "died before replying" not in str(error):
                    raise


papermill_engines.register(NAME, _Engine)
