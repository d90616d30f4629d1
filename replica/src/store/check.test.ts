import { expect } from 'chai';
import { reportText } from '../check-command.ts';
import { BLOCK_BYTES, EXTENT_BYTES } from '../protocol/types.ts';
import { fs, path } from '../runtime/builtin.ts';
import { checkDirectory, type CheckReport } from './check.ts';
import { PAGE_BYTES, PAGE_LAYOUT } from './extent-page.ts';
import { punchHole } from './libc.ts';
import { openStore } from './open.ts';
import {
  RealStore,
  rejection,
  removeDirectory,
  temporaryDirectory,
} from './real-store.test-support.ts';
import { SUPERBLOCK } from './superblock.ts';

const SIZE_BYTES = 3 * EXTENT_BYTES + 2 * BLOCK_BYTES;

/** Method: a real directory, damaged after it was closed. */
describe('the check of a directory', () => {
  let one: RealStore;

  beforeEach(async () => {
    one = new RealStore(temporaryDirectory(), SIZE_BYTES);
    await one.open();
    for (let block = 0; block < 100; block += 1) one.write(block + 1, block * BLOCK_BYTES);
    one.unmap(40 * BLOCK_BYTES, 10 * BLOCK_BYTES);
    one.write(7, 3 * EXTENT_BYTES);
    await one.close();
  });

  afterEach(() => removeDirectory(one.directory));

  const check = (): CheckReport => checkDirectory(one.directory);
  const problems = (): string[] =>
    check()
      .findings.filter(({ severity }) => severity === 'problem')
      .map(({ place, message }) => `${place}: ${message}`);

  const punch = (name: string, offsetBytes: number, lengthBytes: number): void => {
    const fd = fs.openSync(path.join(one.directory, name), 'r+');
    punchHole(fd, offsetBytes, lengthBytes);
    fs.closeSync(fd);
  };

  it('of a sound one finds nothing, and says what it has verified', () => {
    const report = check();
    expect([report.problems, report.notes, report.markedRegions]).to.deep.equal([0, 0, 0]);
    expect(report.clean).to.equal(true);
    expect(report.slots.map(({ good }) => good)).to.deep.equal([2, 2]);
    expect(report.layers).to.have.length(1);
    expect(report.layers[0]).to.deep.include({ allocatedBlocks: 91, verifiedBlocks: 91 });
  });

  it('changes nothing', () => {
    const files = (): Record<string, string> =>
      Object.fromEntries(
        fs
          .readdirSync(one.directory)
          .filter((name) => name !== 'lock')
          .map((name) => [name, fs.readFileSync(path.join(one.directory, name)).toString('hex')]),
      );
    one.overwrite('000001.img', 3 * BLOCK_BYTES, Uint8Array.of(0xff));
    one.overwrite('superblock', 70, Uint8Array.of(0xff));
    const before = files();
    expect(check().problems).to.equal(2);
    expect(files()).to.deep.equal(before);
  });

  it('finds every block that does not have its checksum, with its place', () => {
    one.overwrite('000001.img', 3 * BLOCK_BYTES + 5, Uint8Array.of(0xff));
    one.overwrite('000001.img', 3 * EXTENT_BYTES, Uint8Array.of(0xff));
    expect(problems()).to.deep.equal([
      `000001.img: the block at byte ${3 * BLOCK_BYTES} does not have its checksum`,
      `000001.img: the block at byte ${3 * EXTENT_BYTES} does not have its checksum`,
    ]);
    expect(check().layers[0]).to.deep.include({ badBlocks: 2, verifiedBlocks: 89 });
    expect(check().findings[0]?.offsetBytes).to.equal(3 * BLOCK_BYTES);
  });

  it('finds where bitmap and holes disagree, in both directions', () => {
    punch('000001.img', 8 * BLOCK_BYTES, BLOCK_BYTES);
    one.overwrite('000001.img', 45 * BLOCK_BYTES, Uint8Array.of(0xff));
    expect(problems()).to.deep.equal([
      `000001.img: the block at byte ${8 * BLOCK_BYTES} is a hole, but the bitmap has it`,
      `000001.img: the block at byte ${45 * BLOCK_BYTES} has data, but the bitmap does not have it`,
    ]);
  });

  it('takes zeroes that are no hole for nothing', () => {
    one.overwrite('000001.img', 45 * BLOCK_BYTES, new Uint8Array(BLOCK_BYTES));
    expect(problems()).to.deep.equal([]);
  });

  it('finds a page that is damaged in a checksum or in the bitmap', () => {
    one.overwrite('000001.meta', PAGE_LAYOUT.checksums.offset + 8, Uint8Array.of(0xff));
    one.overwrite('000001.meta', 3 * PAGE_BYTES + PAGE_LAYOUT.allocated.offset, Uint8Array.of(9));
    expect(problems().map((text) => /extent \d/.exec(text)?.[0])).to.deep.equal([
      'extent 0',
      'extent 3',
    ]);
    expect(check().layers[0]?.damagedExtents).to.equal(2);
  });

  it('finds a page that is gone, and one that came from elsewhere', () => {
    const meta = fs.readFileSync(path.join(one.directory, '000001.meta'));
    one.overwrite('000001.meta', 3 * PAGE_BYTES, meta.subarray(0, PAGE_BYTES));
    punch('000001.meta', 0, 4096);
    expect(problems().join('\n')).to.match(/extent 0 .* is lost: there is data and no page/);
    expect(problems().join('\n')).to.match(/extent 3 .* is damaged/);
  });

  for (const file of ['superblock', 'activity'])
    it(`finds rot in one slot of ${file}, and in both`, () => {
      const slotBytes = file === 'superblock' ? SUPERBLOCK.slotBytes : 16 * 1024;
      one.overwrite(file, slotBytes + 70, Uint8Array.of(0xff, 0xfe));
      expect(problems()).to.deep.equal([`${file}: slot 1 does not pass its checksum`]);
      one.overwrite(file, 70, Uint8Array.of(0xff, 0xfe));
      expect(problems().join('\n')).to.match(
        /slot 0 .*\n.*slot 1 .*\n.*remove the directory and it is rebuilt/,
      );
    });

  it('finds files that are missing or have another size', () => {
    fs.truncateSync(path.join(one.directory, '000001.img'), EXTENT_BYTES);
    fs.rmSync(path.join(one.directory, '000001.meta'));
    expect(problems().join('\n')).to.match(/img: has 1048576 bytes instead of \d+\n.*meta: cannot/);
  });

  it('notes files that do not belong there, which are no problem', () => {
    fs.writeFileSync(path.join(one.directory, '000009.img'), '');
    const report = check();
    expect([report.problems, report.notes]).to.deep.equal([0, 1]);
    expect(report.findings[0]).to.deep.include({ severity: 'note', place: '000009.img' });
  });

  it('of one that was not closed in order leaves out what the replica recomputes', async () => {
    const copy = temporaryDirectory();
    await one.open();
    one.write(99, 5 * BLOCK_BYTES);
    expect(await one.flush()).to.equal('none');
    fs.cpSync(one.directory, copy, { recursive: true });
    await one.close();
    try {
      const report = checkDirectory(copy);
      expect([report.clean, report.problems, report.markedRegions]).to.deep.equal([false, 0, 1]);
      expect(report.layers[0]?.markedExtents).to.be.above(0);
      expect(reportText(report)).to.include('not closed in order').and.to.include('recomputes');
    } finally {
      removeDirectory(copy);
    }
  });

  it('of a witness looks at its slots', async () => {
    const directory = temporaryDirectory();
    try {
      const create = { volumeId: 'v', replicaId: 'w', role: 'witness', sizeBytes: 0 } as const;
      await (await openStore({ directory, create })).close();
      expect(checkDirectory(directory)).to.deep.include({ problems: 0, notes: 0, layers: [] });
    } finally {
      removeDirectory(directory);
    }
  });

  it('refuses a directory that is open, and one that holds no store', async () => {
    await one.open();
    const error = await rejection(Promise.resolve().then(check));
    expect([error.code, error.message]).to.satisfy(([code, text]: string[]) =>
      [code === 'LOCKED', /mayactl volume scrub/.test(text ?? '')].every(Boolean),
    );
    await one.close();
    const none = await rejection(Promise.resolve().then(() => checkDirectory('/nonexistent')));
    expect(none.code).to.equal('NOT_A_STORE');
  });

  it('is readable on 80 columns, however much is wrong', () => {
    for (let block = 0; block < 90; block += 1)
      one.overwrite('000001.img', block * BLOCK_BYTES, Uint8Array.of(0xff));
    one.overwrite('superblock', 70, Uint8Array.of(0xff));
    const text = reportText({ ...check(), directory: '/data' });
    expect(Math.max(...text.split('\n').map((line) => line.length))).to.be.at.most(80);
    expect(text)
      .to.match(/and \d+ more; -o json/)
      .and.to.include('mayactl volume scrub');
    expect(text.split('\n').length).to.be.below(110);
  });
});
