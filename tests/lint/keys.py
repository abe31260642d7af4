"""keys.py MANPAGE CONF_C: every key of conf.c's table stands in the manual page, and the page knows no others."""
import re
import sys

page = open(sys.argv[1]).read().partition('.Sh KEYS')[2].partition('\n.Sh ')[0]
table = re.findall(r'\b(?:TEXT|WORD|NUMBER)\("([^"]*)", "([^"]*)", ', open(sys.argv[2]).read())
if len(table) < 40:
    print('read only %d keys in %s' % (len(table), sys.argv[2]))
listed = {m.group(1).rstrip('.') for m in re.finditer(r'^\.It Va ([\w.]+)', page, re.M)}
for section, name in table:
    key = '.'.join(x for x in (section, name.rstrip('.')) if x)
    if key not in listed and not any(k.startswith(key + '.') for k in listed):
        print('%s: %s is missing' % (sys.argv[1], key))
for key in sorted(listed):
    if not any(key == '.'.join(x for x in (s, n.rstrip('.')) if x) or (s + '.' + n != '.' and key.startswith(s + '.' + n))
               for s, n in table):
        print('%s: %s is no key of the table' % (sys.argv[1], key))
