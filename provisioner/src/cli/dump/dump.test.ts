import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { logTails } from './log-tails.ts';
import { redact } from './redact.ts';
import { tarOf } from './tar.ts';

describe('an archive for those who help', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'openebs-dump-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('is unpacked by tar as it was packed, with long names and bodies of every length', () => {
    const deep = `${'d'.repeat(90)}/${'e'.repeat(50)}/${'f'.repeat(63)}.log`;
    const files = [0, 1, 511, 512, 513].map((bytes) => ({
      path: `root/${bytes}.txt`,
      body: Buffer.alloc(bytes, 'x'),
    }));
    const entries = [...files, { path: deep, body: Buffer.from('deep\n') }];
    writeFileSync(join(directory, 'a.tar'), tarOf(entries, new Date('2026-01-02T03:04:05Z')));
    execFileSync('tar', ['-xf', 'a.tar'], { cwd: directory });
    for (const { path, body } of entries) {
      expect(readFileSync(join(directory, path)).equals(body), path).to.equal(true);
    }
  });

  it('has no secret: neither one that is known nor one that its name gives away', () => {
    const token = 'tok+en/with$signs';
    const text = [
      `{"chap":{"user":"u","secret":"a \\"b\\" c"},"mutualSecret": "m-m-m"}`,
      `authorization: Bearer abc.def-123 and ${token}${token}`,
      'iscsi://user%hunter2hunter2@127.0.0.1:3260/iqn/0',
      '{"apiToken":"t-t-t","message":"stays"}',
    ].join('\n');
    const without = redact(text, [token, '']);
    for (const secret of ['a \\"b', 'b\\" c', 'm-m-m', 'abc.def', token, 'hunter2', 't-t-t']) {
      expect(without).to.not.include(secret);
    }
    expect(without).to.include('"user":"u"').and.to.include('"message":"stays"');
    expect(without).to.include('iscsi://user%REDACTED@127.0.0.1:3260/iqn/0');
  });

  it('has the end of each log, from a whole line on', () => {
    mkdirSync(join(directory, 'db'));
    writeFileSync(join(directory, 'server.log'), 'short\n');
    writeFileSync(join(directory, 'db', 'target.log'), 'first line\nsecond\nthird\n');
    expect(logTails(directory, 15)).to.deep.equal([
      { path: 'db/target.log', text: 'second\nthird\n' },
      { path: 'server.log', text: 'short\n' },
    ]);
  });
});
