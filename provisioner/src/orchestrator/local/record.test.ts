import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { RecordError, checkRecord, newRecord, readRecord, writeRecord } from './record.ts';

const spec = { name: 'db', sizeBytes: 1024 ** 3, replicas: 3 };
const options = { portalPort: 3260, idempotencyKey: null, createdAt: new Date(0) };

describe('volume record', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'openebs-record-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  it('comes back from disk as it was written, and leaves no other file', async () => {
    const record = newRecord(spec, { ...options, idempotencyKey: 'k' });
    await writeRecord(directory, record);
    await writeRecord(directory, { ...record, generation: 2 });
    expect(await readRecord(directory, 'db')).to.deep.equal({ ...record, generation: 2 });
    expect(await readdir(directory)).to.deep.equal(['volume.json']);
  });

  it('gives even numbers of copies a witness and odd ones none', () => {
    for (const [replicas, voters] of [
      [1, 1],
      [2, 3],
      [3, 3],
      [4, 5],
      [5, 5],
    ] as const) {
      const { members } = newRecord({ ...spec, replicas }, options);
      expect(members).to.have.length(voters);
      expect(members.filter(({ role }) => role === 'data')).to.have.length(replicas);
    }
  });

  it('refuses a truncated, an alien and a newer file in words', async () => {
    const record = newRecord(spec, options);
    const file = join(directory, 'volume.json');
    await writeFile(file, JSON.stringify(record).slice(0, 40));
    await rejects(readRecord(directory, 'db'), /not JSON/);
    await writeFile(file, JSON.stringify(record));
    await rejects(readRecord(directory, 'other'), /another volume/);
    await writeFile(file, JSON.stringify({ ...record, formatVersion: 2 }));
    await rejects(readRecord(directory, 'db'), /newer version/);
    await writeFile(file, '');
    await rejects(readRecord(directory, 'db'), /not JSON/);
  });

  it('answers any JSON with a record or a RecordError', () => {
    const good = newRecord(spec, options);
    fc.assert(
      fc.property(
        fc.oneof(
          fc.jsonValue(),
          fc
            .record({ key: fc.constantFrom(...Object.keys(good)), value: fc.jsonValue() })
            .map((change) => ({
              ...good,
              [change.key]: change.value,
            })),
        ),
        (value) => {
          try {
            checkRecord(value, 'db');
          } catch (error) {
            expect(error).to.be.instanceOf(RecordError);
          }
        },
      ),
    );
  });
});

async function rejects(promise: Promise<unknown>, words: RegExp): Promise<void> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).to.be.instanceOf(RecordError);
  expect((error as Error).message).to.match(words);
}
