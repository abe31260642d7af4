"""Second opinions on lib/cron and lib/zone: croniter for schedules, Python's zoneinfo for every zone of this machine."""
import datetime
import os
import sys
import zoneinfo

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403

t = Cases()
dice = random.Random(20261125)


def ask(lines):
    r = subprocess.run([os.path.join(BUILD, 'tests', 'cron_probe')], input='\n'.join(lines) + '\n', capture_output=True,
                       text=True, timeout=300)
    same(r.returncode, 0, r.stderr)
    return r.stdout.split('\n')[:-1]


def part(low, high, plain):
    a, b = sorted((dice.randint(low, high), dice.randint(low, high)))
    if not plain and dice.random() < 0.3:
        return '*'
    return dice.choice([str(a), '%d-%d' % (a, b), '%d,%d' % (a, b), '%d-%d/%d' % (a, b, dice.randint(1, 6))]
                       + ([] if plain else ['*/%d' % dice.randint(1, high)]))


def schedules():
    try:
        import croniter
    except ImportError:
        skip('no python3-croniter here: run sh contrib/setup.sh')
    asked, want = [], []
    while len(asked) < 3000:
        # Steps over all days are told apart from lists by us, as by cron(8), and not by croniter.
        dom, dow = part(1, 28, True), part(0, 6, True)
        if '0-6' in dow:
            continue  # all days by name: no star for us and cron(8), one for croniter
        text = ' '.join((part(0, 59, False), part(0, 23, False), '*' if dice.random() < 0.5 else dom,
                         part(1, 12, False), '*' if dice.random() < 0.5 else dow))
        after = dice.randint(0, 4102444800) // 60 * 60
        asked.append('next UTC %d %s' % (after, text))
        start = datetime.datetime.fromtimestamp(after, datetime.timezone.utc)
        want.append(int(croniter.croniter(text, start).get_next(datetime.datetime).timestamp()))
    for line, got, say in zip(asked, ask(asked), want):
        check(got == str(say), line, ': we say', got, 'croniter', say)


def zones():
    names = sorted(n for n in zoneinfo.available_timezones() if n not in ('localtime', 'posixrules', 'Factory'))
    check(len(names) > 300, 'few zones here:', len(names))
    asked, want = [], []
    for name in names:
        z = zoneinfo.ZoneInfo(name)
        for _ in range(40):
            at = dice.randint(-2000000000, 4100000000)
            asked.append('offset %s %d' % (name, at))
            want.append(int(datetime.datetime.fromtimestamp(at, z).utcoffset().total_seconds()))
    wrong = [(line, got, say) for line, got, say in zip(asked, ask(asked), want) if got != str(say)]
    check(not wrong, len(wrong), 'of', len(asked), 'differ, first', wrong[:3])


t.run('3000 schedules as croniter has them', schedules)
t.run('every zone of this machine as zoneinfo has it', zones)
t.end()
