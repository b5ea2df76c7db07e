"""A fuzzer of what comes from the network: model directories, drawn so that they get past parsers.

`kinds` lists what is drawn, `oracle` says what must hold of every input, `worker` tries inputs in a
process of its own and `campaign` keeps workers going. Start: `python -m tests.fuzz --minutes 30`.
"""
