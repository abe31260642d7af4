"""views.py MANPAGE SCHEMA VIEWS: every view and every column stands in the manual page, and the page knows no others."""
import re
import sqlite3
import sys

db = sqlite3.connect(':memory:')
for name in sys.argv[2:]:
    db.executescript(open(name).read())
there = {}
for (view,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'view'"):
    for row in db.execute('PRAGMA table_info(%s)' % view):
        there.setdefault(view, []).append(row[1])
listed, view = {}, None
for line in open(sys.argv[1]):
    m = re.match(r'\.Ss (v_\w+)', line)
    if m:
        view = m.group(1)
        listed[view] = []
    m = re.match(r'\.It Va (.+)', line)
    if m and view:
        listed[view] += m.group(1).replace(' ,', '').split()
for view in sorted(set(there) | set(listed)):
    for column in there.get(view, []):
        if column not in listed.get(view, []):
            print('%s: %s.%s is missing' % (sys.argv[1], view, column))
    for column in listed.get(view, []):
        if column not in there.get(view, []):
            print('%s: %s.%s is in no view' % (sys.argv[1], view, column))
if len(there) < 10:
    print('read only %d views' % len(there))
