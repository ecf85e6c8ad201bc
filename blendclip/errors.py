"""The two ways in which input can be wrong: the user must act, or one piece of data is broken."""


class UserError(ValueError):
    """The run cannot go on; the message is one sentence: what is wrong, where, and what to do."""


class DataFault(ValueError):
    """One file or annotation is broken; the message says how. Mining goes on without it and notes it as a reject."""
