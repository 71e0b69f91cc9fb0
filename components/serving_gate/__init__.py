"""The gate before the push: does the exported model answer, in a process that knows nothing of us?"""
