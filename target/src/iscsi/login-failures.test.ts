import { expect } from 'chai';
import { newCounters } from './counters.ts';
import { LoginFailures } from './login-failures.ts';

describe('logins that fail', () => {
  it('are all counted, and told once in a second of each kind, with how many were left out', () => {
    const told: object[] = [];
    const quiet = (): void => undefined;
    const log = { debug: quiet, info: quiet, warn: (fields: object) => void told.push(fields) };
    const counters = newCounters();
    const failures = new LoginFailures(log, counters);
    for (let ms = 0; ms < 2500; ms += 100)
      failures.note(ms, 'authentication', { peer: ms }, 'login refused');
    failures.note(2500, 'timeout', { peer: 'slow' }, 'login failed');
    expect(counters.loginsFailed).to.deep.include({ authentication: 25, timeout: 1 });
    expect(told).to.deep.equal([
      { peer: 0, failure: 'authentication' },
      { peer: 1000, failure: 'authentication', omitted: 9 },
      { peer: 2000, failure: 'authentication', omitted: 9 },
      { peer: 'slow', failure: 'timeout' },
    ]);
  });
});
