import { expect } from 'chai';
import type { LoggedEvent } from '../../api/event-log.ts';
import type { Rates } from '../rates.ts';
import { eventLines } from './events.ts';
import { busiestFirst, topText, type TopLine } from './top.ts';

const rates = (operations: number): Rates => ({
  volume: '',
  at: '2026-01-01T00:00:00.000Z',
  seconds: 1,
  readsPerSecond: operations,
  writesPerSecond: operations * 2,
  readBytesPerSecond: operations * 1024 ** 2,
  writeBytesPerSecond: 0,
  readLatencyMs: 0.25,
  writeLatencyMs: null,
  flushesPerSecond: 0,
  unmapsPerSecond: 0,
  errors: 0,
  size: 1024 ** 3,
  logicalBytes: 0,
  usedBytes: 0,
});
const line = (name: string, operations: number | null): TopLine => ({
  volume: { name, status: operations === null ? 'unavailable' : 'healthy' },
  rates: operations === null ? null : rates(operations),
});

describe('what all volumes do', () => {
  const lines = busiestFirst([line('a', null), line('b', 10), line('c'.repeat(63), 500)]);

  it('is sorted by their operations, with the sum first', () => {
    const rows = topText(lines, { rows: Infinity, columns: 200 }).trim().split('\n');
    expect(rows[0]).to.match(/^r\/s +w\/s +r\(MB\/s\) +w\(MB\/s\) +rLat\(ms\) +wLat\(ms\) +NAME$/);
    expect(rows[1]).to.match(/^510 +1020 +510\.000 +0\.000 +- +- +all 3$/);
    expect(rows[2]).to.match(/^500 .* 0\.250 +- +c+$/);
    expect(rows[3]).to.match(/^10 .* b$/);
    expect(rows[4]).to.match(/^- .* a \(unavailable\)$/);
  });

  it('fits the screen, and says how many it leaves out', () => {
    const text = topText(lines, { rows: 4, columns: 80 });
    const rows = text.trim().split('\n');
    expect(rows).to.have.length(3);
    expect(rows[1]).to.include('all 3 (2 not shown)');
    expect(Math.max(...rows.map(({ length }) => length))).to.be.at.most(80);
    expect(rows[2]).to.match(/ c+\.\.\.$/);
  });
});

describe('events', () => {
  it('are lines of at most 80 columns, marked where they warn', () => {
    const event: LoggedEvent = {
      id: 1,
      at: '2026-01-01T00:00:00.000Z',
      kind: 'status',
      severity: 'warning',
      volume: 'db',
      message:
        'degraded, 2 of 3 replicas in sync: replica-3 is offline (answered no ping for 10 s)',
      status: 'degraded',
    };
    const lines = eventLines([event, { ...event, severity: 'info', message: 'healthy' }], {
      ofOne: false,
      color: false,
    }).split('\n');
    expect(lines[0]).to.match(/^2026-01-01 00:00:00 ! db: degraded, /);
    expect(lines[2]).to.equal('2026-01-01 00:00:00   db: healthy');
    expect(Math.max(...lines.map(({ length }) => length))).to.be.at.most(80);
  });
});
