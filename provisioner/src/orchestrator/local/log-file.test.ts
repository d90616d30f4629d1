import { mkdtempSync, readFileSync, rmSync, statSync, writeSync, closeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { LogFile, lastWordsOf } from './log-file.ts';

describe('log of a child', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'openebs-log-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('gives the last error, not what was said after it', () => {
    const text = [
      '{"level":"info","msg":"starting"}',
      '{"level":"fatal","msg":"cannot listen on 127.0.0.1:3260"}',
      '{"level":"info","msg":"bye"}',
    ].join('\n');
    expect(lastWordsOf(text)).to.equal('cannot listen on 127.0.0.1:3260');
    expect(lastWordsOf('{"level":60,"msg":"numbers too"}')).to.equal('numbers too');
  });

  it('finds the message of an uncaught error in its stack', () => {
    const text =
      'node:fs:1\n    throw er;\n\nTypeError [ERR_X]: no such thing\n    at a (b.ts:1)\n\nNode\n';
    expect(lastWordsOf(text)).to.equal('no such thing');
  });

  it('gives what a daemon says that cannot start, without its name', () => {
    const text = '{"level":"info","msg":"hello"}\nreplica: NO_SPACE: the disk is full\n';
    expect(lastWordsOf(text)).to.equal('the disk is full');
    expect(lastWordsOf('{"level":"fatal","code":"IO_ERROR","msg":"it ends"}')).to.equal(
      'it ends (IO_ERROR)',
    );
  });

  it('gives the last line where there is no error, and null where there is nothing', () => {
    expect(lastWordsOf('one\ntwo\n')).to.equal('two');
    expect(lastWordsOf('\n\n')).to.equal(null);
  });

  it('forgets what an earlier run said', () => {
    const log = new LogFile(join(directory, 'a.log'));
    const first = log.openForChild();
    writeSync(first.fd, '{"level":"error","msg":"old"}\n');
    closeSync(first.fd);
    const second = log.openForChild();
    closeSync(second.fd);
    expect(log.lastWords(second.startBytes)).to.equal(null);
    expect(log.lastWords(0)).to.equal('old');
  });

  it('stays below its cap while the child goes on writing to it', () => {
    const log = new LogFile(join(directory, 'a.log'));
    const { fd } = log.openForChild();
    writeSync(fd, 'x'.repeat(1000));
    expect(log.rotateIfLarge(999)).to.equal(true);
    writeSync(fd, 'after');
    closeSync(fd);
    expect(readFileSync(log.path, 'utf8')).to.equal('after');
    expect(statSync(`${log.path}.1`).size).to.equal(1000);
    expect(log.rotateIfLarge(999)).to.equal(false);
  });
});
