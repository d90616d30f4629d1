import { expect } from 'chai';
import fc from 'fast-check';
import { SCSI_LIMITS } from '../limits.ts';
import { writeU16, writeU32, writeU64 } from './cdb.ts';
import { parseCopyList } from './copy-parameters.ts';
import { unitDesignators } from './designators.ts';
import { Bench, hex, type TestTask } from './harness.test-support.ts';
import type { Nexus } from './task.ts';

const BLOCK = 512;
const STATUS = '84 00 07 00 00 00 00 00 00 00 00 00 04 00 00 00';

interface List {
  readonly targets?: number;
  readonly segments?: readonly (readonly [number, number, number])[];
  readonly change?: (list: Uint8Array) => void;
}

/** Copies within the unit: source LBA, destination LBA, blocks. */
function build(volumeId: string, { targets = 1, segments = [], change }: List): Uint8Array {
  const list = new Uint8Array(16 + 32 * targets + 28 * segments.length);
  list[0] = 7;
  writeU16(list, 2, 32 * targets);
  writeU32(list, 8, 28 * segments.length);
  const naa = unitDesignators(volumeId)[0]!;
  for (let i = 0; i < targets; i += 1) {
    const at = 16 + 32 * i;
    list[at] = 0xe4;
    list.set(naa, at + 4);
    list[at + 30] = BLOCK >> 8;
  }
  segments.forEach(([source, destination, blocks], i) => {
    const at = 16 + 32 * targets + 28 * i;
    list[at] = 0x02;
    list[at + 3] = 24;
    writeU16(list, at + 10, blocks);
    writeU64(list, at + 12, source);
    writeU64(list, at + 20, destination);
  });
  change?.(list);
  return list;
}

function copy(bench: Bench, nexus: Nexus, list: List, cut = 0): TestTask {
  const data = build(bench.volume.volumeId, list);
  const cdb = hex('83 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00');
  writeU32(cdb, 10, data.length - cut);
  return bench.run(nexus, cdb, [data.subarray(0, data.length - cut)]);
}

/** Every block of the first 4,096 has its own number in it. */
function numbered(): { bench: Bench; nexus: Nexus; blocks: () => number[] } {
  const bench = new Bench(4096 * BLOCK);
  const nexus = bench.nexus();
  const data = new Uint8Array(4096 * BLOCK);
  for (let i = 0; i < 4096; i += 1) writeU32(data, i * BLOCK, i);
  bench.run(nexus, '8a 00 00 00 00 00 00 00 00 00 00 00 10 00 00 00', [data]);
  const blocks = (): number[] => {
    const { dataIn } = bench.run(nexus, '88 00 00 00 00 00 00 00 00 00 00 00 10 00 00 00');
    const view = new DataView(dataIn.buffer);
    return Array.from({ length: 4096 }, (_, i) => view.getUint32(i * BLOCK));
  };
  return { bench, nexus, blocks };
}

describe('EXTENDED COPY', () => {
  it('copies its segments in order, and the result can be asked for', () => {
    const { bench, nexus, blocks } = numbered();
    const segments = [
      [0, 100, 8],
      [100, 200, 1],
    ] as const;
    expect(copy(bench, nexus, { segments }).outcome).to.equal('good');
    const after = blocks();
    expect(after.slice(99, 109)).to.deep.equal([99, 0, 1, 2, 3, 4, 5, 6, 7, 108]);
    expect(after[200]).to.equal(0);
    const result = bench.run(nexus, STATUS).dataIn;
    expect(result).to.deep.equal(hex('00 00 00 08 01 00 02 00 00 00 12 00'));
    expect(bench.run(bench.nexus('iqn.b'), STATUS).outcome, 'of another nexus').to.equal('5/24/00');
  });

  it('copies ranges that overlap as if all had been read first', () => {
    for (const [source, destination] of [
      [0, 500],
      [500, 0],
    ] as const) {
      const { bench, nexus, blocks } = numbered();
      expect(copy(bench, nexus, { segments: [[source, destination, 3500]] }).outcome).to.equal(
        'good',
      );
      const expected = Array.from({ length: 3500 }, (_, i) => source + i);
      expect(blocks().slice(destination, destination + 3500)).to.deep.equal(expected);
    }
  });

  it('refuses what is wrong with its list, and then copies nothing', () => {
    const { bench, nexus, blocks } = numbered();
    const good = [0, 100, 8] as const;
    const first = 16;
    const segment = first + 32;
    const refused = (list: List, cut = 0): string => copy(bench, nexus, list, cut).outcome;
    expect(refused({ segments: [good] }, 1), 'cut segment').to.equal('5/1a/00');
    expect(refused({}, 1), 'cut target').to.equal('5/1a/00');
    expect(refused({ targets: 9, segments: [good] }), 'targets').to.equal('5/26/06');
    const many = new Array<typeof good>(33).fill(good);
    expect(refused({ segments: many }), 'segments').to.equal('5/26/08');
    expect(refused({ targets: 9, segments: many }), 'both').to.equal('5/1a/00');
    const changes: [string, string, (list: Uint8Array) => void][] = [
      ['inline data', '5/1a/00', (list) => writeU32(list, 12, 4)],
      ['type of target', '5/26/07', (list) => (list[first] = 0xe0)],
      ['another unit', 'a/0d/02', (list) => (list[first + 9] = 0x55)],
      ['another device type', 'a/0d/03', (list) => (list[first + 1] = 0x01)],
      ['another block length', '5/26/00', (list) => (list[first + 30] = 0x10)],
      ['type of segment', '5/26/09', (list) => (list[segment] = 0x00)],
      ['length of segment', '5/26/00', (list) => (list[segment + 3] = 25)],
      ['index of target', 'a/08/04', (list) => (list[segment + 7] = 1)],
      ['beyond the end', 'a/00/00', (list) => writeU64(list, segment + 20, 4090)],
    ];
    for (const [what, outcome, change] of changes) {
      expect(refused({ segments: [good, good], change }), what).to.equal(outcome);
    }
    expect(blocks()[100]).to.equal(100);
    expect(refused({ change: (list) => writeU16(list, 2, 31) }), 'odd targets').to.equal('5/26/00');
    expect(bench.run(nexus, '83 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00').outcome).to.equal(
      'good',
    );
  });

  it('does not write while the unit is protected', () => {
    const { bench, nexus } = numbered();
    bench.server.unit.mode.softwareWriteProtect = true;
    expect(copy(bench, nexus, { segments: [[0, 1, 1]] }).outcome).to.equal('7/27/02');
  });

  it('never accepts a segment outside of the unit, whatever the list holds', () => {
    const volumeId = '5f0c1d1e-7e57-4b0a-8a54-6d656d6f7279';
    const unit = { blocks: 1000, isNamedBy: () => true };
    const byte = fc.tuple(fc.nat(16 + 32 + 2 * 28 - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 6 }), fc.nat(120), (bytes, length) => {
        const list = build(volumeId, {
          segments: [
            [0, 10, 5],
            [900, 20, 5],
          ],
        });
        for (const [at, value] of bytes) list[at] = value;
        const parsed = parseCopyList(list.subarray(0, length), unit);
        if (parsed.kind === 'refused') return;
        for (const { sourceLba, destinationLba, blocks } of parsed.segments) {
          expect(Math.max(sourceLba, destinationLba) + blocks).to.be.at.most(1000);
        }
      }),
    );
  });

  it('tells its limits', () => {
    const bench = new Bench();
    const { dataIn } = bench.run(bench.nexus(), '84 03 00 00 00 00 00 00 00 00 00 00 04 00 00 00');
    const view = new DataView(dataIn.buffer);
    expect(view.getUint32(0)).to.equal(dataIn.length - 4);
    expect(view.getUint16(8)).to.equal(SCSI_LIMITS.copyTargetDescriptors);
    expect(view.getUint16(10)).to.equal(SCSI_LIMITS.copySegmentDescriptors);
    expect([...dataIn.subarray(43)]).to.deep.equal([2, 0x02, 0xe4]);
  });
});
