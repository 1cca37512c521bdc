"""Pictures into piles: a folder for each answer, by a journal that makes it safe and undoable.

walk.py lists the pictures of a folder, verdicts.py asks a served model, sorter.py moves, copies or
links (transfer.py) and keeps the journal (journal.py), undo.py puts all back, report.py tells.
"""
