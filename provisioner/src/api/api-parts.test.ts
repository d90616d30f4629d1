import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { IDEMPOTENCY_TTL_MS, MAX_OPERATIONS } from '../limits.ts';
import { Problem } from '../problem.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { Idempotency } from './idempotency.ts';
import { EventLog } from './event-log.ts';
import { Operations } from './operations.ts';
import { loadTokens, roleOf } from './tokens.ts';

describe('tokens', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'openebs-tokens-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('are made once, for their owner only', async () => {
    const tokens = await loadTokens(directory);
    expect(await loadTokens(directory)).to.deep.equal(tokens);
    expect(tokens.admin).to.not.equal(tokens.readOnly);
    expect(statSync(join(directory, 'token')).mode & 0o777).to.equal(0o600);
    expect(readFileSync(join(directory, 'token'), 'utf8')).to.equal(`${tokens.admin}\n`);
  });

  it('give their role and nothing else does', () => {
    const tokens = { admin: 'aaa', readOnly: 'bbb' };
    expect(roleOf('Bearer aaa', tokens)).to.equal('admin');
    expect(roleOf('bearer bbb', tokens)).to.equal('read-only');
    for (const header of [undefined, '', 'Bearer', 'Bearer ', 'Bearer aa', 'Basic aaa', 'aaa']) {
      expect(roleOf(header, tokens), header).to.equal(null);
    }
  });
});

describe('idempotency', () => {
  it('does the work once for a key and gives the same answer', async () => {
    let done = 0;
    const keys = new Idempotency<number>();
    const work = (): Promise<number> => Promise.resolve((done += 1));
    expect(await Promise.all([keys.run('k', 1, work), keys.run('k', 1, work)])).to.deep.equal([
      1, 1,
    ]);
    expect(done).to.equal(1);
  });

  it('refuses a key for another request, and a key without characters', () => {
    const keys = new Idempotency<number>();
    void keys.run('k', { a: 1 }, () => Promise.resolve(1));
    expect(() => keys.run('k', { a: 2 }, () => Promise.resolve(2))).to.throw(
      Problem,
      /another request/,
    );
    expect(() => keys.run('', 1, () => Promise.resolve(1))).to.throw(Problem);
  });

  it('lets a failed request be tried again, and forgets after a day', async () => {
    let now = 0;
    const keys = new Idempotency<number>(() => now);
    await keys.run('k', 1, () => Promise.reject(new Error('no'))).catch(() => undefined);
    expect(await keys.run('k', 1, () => Promise.resolve(5))).to.equal(5);
    now += IDEMPOTENCY_TTL_MS + 1;
    expect(await keys.run('k', 2, () => Promise.resolve(6))).to.equal(6);
  });
});

describe('operations', () => {
  it('tell progress, success and failure, which is an event', async () => {
    const events = new EventLog({ onEvent: () => () => undefined });
    const operations = new Operations({ failed: (operation) => events.operationFailed(operation) });
    const release: (() => void)[] = [];
    const { id } = operations.begin('volume-create', 'db', async (progress) => {
      progress(40, 'half way');
      await new Promise<void>((resolve) => release.push(resolve));
      return 'it serves';
    });
    expect(operations.get(id)).to.include({ status: 'running', percent: 40, message: 'half way' });
    release.forEach((resolve) => resolve());
    await new Promise(setImmediate);
    expect(operations.get(id)).to.include({
      status: 'succeeded',
      percent: 100,
      message: 'it serves',
    });
    const failed = operations.begin('volume-delete', 'db', () =>
      Promise.reject(new Problem('no-space', 'full', { next: 'free some' })),
    );
    await new Promise(setImmediate);
    expect(operations.get(failed.id).error).to.include({ code: 'no-space', next: 'free some' });
    const [event, ...others] = events.list('db');
    expect(event).to.include({ severity: 'warning', message: 'volume-delete failed: full' });
    expect(others).to.have.length(0);
    expect(() => operations.get('other')).to.throw(Problem, /no operation/);
  });

  it('forget the oldest that ended, never one that runs', async () => {
    const operations = new Operations({ failed: () => undefined });
    const running = operations.begin('volume-create', 'long', () => new Promise(() => undefined));
    const first = operations.begin('volume-create', 'db', () => Promise.resolve(''));
    await new Promise(setImmediate);
    for (let i = 0; i < MAX_OPERATIONS; i += 1) {
      operations.begin('volume-create', 'db', () => Promise.resolve(''));
      if (i === 0) await new Promise(setImmediate);
    }
    expect(operations.get(running.id).status).to.equal('running');
    expect(() => operations.get(first.id)).to.throw(Problem);
  });
});

describe('cursors', () => {
  it('come back as they were made, and anything else is refused', () => {
    expect(decodeCursor(encodeCursor('db'))).to.equal('db');
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          return typeof decodeCursor(text) === 'string';
        } catch (error) {
          return error instanceof Problem && error.code === 'cursor-invalid';
        }
      }),
    );
  });
});
