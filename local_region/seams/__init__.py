"""Every touch of the emulator's own names, one module per service of it.

Only these modules import `ministack`. Each name is reached through `core.replace`, `core.wrap` or
`core.attribute`, which raise SeamMoved when an upgrade moved it, and each has a test.
"""
