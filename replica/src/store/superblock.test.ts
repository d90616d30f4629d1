import { expect } from 'chai';
import fc from 'fast-check';
import { epoch, session } from '../protocol/types.ts';
import {
  ACTIVITY_HEADER_BYTES,
  ACTIVITY_LAYOUT,
  ACTIVITY_LOG,
  decodeActivityLog,
  encodeActivityLog,
} from './activity-log.ts';
import { MAX_DOCUMENTS_BYTES, MAX_MARKED_REGIONS } from '../limits.ts';
import { StoreError } from './errors.ts';
import { versionOf } from './simulated-volume.ts';
import { newLayer } from './layer-tree.ts';
import {
  SUPERBLOCK,
  decodeSuperblock,
  encodeSuperblock,
  storeTagOf,
  superblockFormat,
} from './superblock.ts';
import type { Superblock } from './superblock.ts';
import { SLOT_HEADER_BYTES } from './two-slot-file.ts';

const AT = '2026-01-01T00:00:00.000Z';

const EXAMPLE: Superblock = {
  identity: { volumeId: 'v', replicaId: 'r', role: 'data', sizeBytes: 64 * 1024 ** 4 },
  createdAt: '2026-01-01T00:00:00.000Z',
  promised: { epoch: epoch(7), session: session(2 ** 52 + 1) },
  record: { volumeId: 'v', epoch: epoch(7), configSeq: 3, inSync: ['r'], voters: ['r', 's'] },
  tree: {
    layers: [
      newLayer({ id: 1, parent: null, name: 'a', createdAt: AT }, storeTagOf('r')),
      {
        ...newLayer({ id: 2, parent: 1, createdAt: AT, complete: false }, 77),
        data: '000001.img',
        meta: '000002-3.meta',
        merging: true,
      },
      newLayer({ id: 9, parent: 1, createdAt: AT }, storeTagOf('r')),
    ],
    head: 9,
  },
  documents: { reservations: Buffer.from([0, 1, 2, 255]), empty: new Uint8Array() },
  clean: false,
  bootId: null,
  intact: true,
  lastVersion: versionOf(7, 2 ** 45),
  confirmed: [versionOf(6, 9)],
};

function damagedBy(action: () => unknown): boolean {
  try {
    action();
    return false;
  } catch (error) {
    if (error instanceof StoreError) return error.code === 'SUPERBLOCK_DAMAGED';
    throw error;
  }
}

describe('the superblock', () => {
  it('gives back every field', () => {
    const decoded = decodeSuperblock(encodeSuperblock(EXAMPLE));
    const documents = { reservations: Buffer.from([0, 1, 2, 255]), empty: Buffer.alloc(0) };
    expect(decoded).to.deep.equal({ ...EXAMPLE, documents });
  });

  it('is refused when any field is missing or has another type', () => {
    const json = JSON.parse(encodeSuperblock(EXAMPLE).toString()) as Record<string, unknown>;
    const paths: string[][] = [];
    const collect = (value: unknown, path: string[]): void => {
      if (typeof value !== 'object' || value === null) return;
      for (const [key, inner] of Object.entries(value)) {
        paths.push([...path, key]);
        collect(inner, [...path, key]);
      }
    };
    collect(json, []);
    for (const path of paths)
      for (const wrong of [undefined, { strange: true }, -1, 1.5]) {
        const copy = structuredClone(json);
        let at: Record<string, unknown> = copy;
        for (const key of path.slice(0, -1)) at = at[key] as Record<string, unknown>;
        const last = path.at(-1)!;
        if (wrong === undefined && (path[0] === 'documents' || Array.isArray(at))) continue;
        // The first releases did not write these.
        if (wrong === undefined && (last === 'headLayer' || path[0] === 'layers')) continue;
        at[last] = wrong;
        const text = Buffer.from(JSON.stringify(copy));
        // An object without the fields of another kind is as wrong as a number.
        if (path[0] === 'documents' && path.length === 1 && typeof wrong === 'object') continue;
        expect(
          damagedBy(() => decodeSuperblock(text)),
          `${path.join('.')} = ${JSON.stringify(wrong)}`,
        ).to.equal(true);
      }
  });

  it('of one layer is written as the first format, with more layers as the second', () => {
    const [layer] = EXAMPLE.tree.layers;
    const plain = { ...EXAMPLE, tree: { layers: [{ ...layer!, name: null }], head: 1 } };
    expect(superblockFormat(plain)).to.equal(1);
    expect(superblockFormat(EXAMPLE)).to.equal(2);
    const json = JSON.parse(encodeSuperblock(plain).toString()) as { layers: object[] };
    expect(json.layers).to.deep.equal([{ id: 1, createdAt: AT, name: null }]);
  });

  it('fits its slot with 300 snapshots and 48 KiB of documents', () => {
    const layers = Array.from({ length: 300 }, (_, index) =>
      newLayer(
        { id: index + 1, parent: index === 0 ? null : index, name: 'n'.repeat(32), createdAt: AT },
        storeTagOf('r'),
      ),
    );
    const documents = { layers: new Uint8Array(48 * 1024) };
    const payload = encodeSuperblock({ ...EXAMPLE, documents, tree: { layers, head: 300 } });
    expect(payload.length).to.be.at.most(SUPERBLOCK.slotBytes - SLOT_HEADER_BYTES);
  });

  it('answers arbitrary bytes with SUPERBLOCK_DAMAGED', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
          fc.json().map((json) => Buffer.from(json)),
        ),
        (payload) => damagedBy(() => decodeSuperblock(payload)),
      ),
    );
  });

  it('fits its slot with the largest documents', () => {
    const documents = { big: new Uint8Array(MAX_DOCUMENTS_BYTES) };
    const ids = Array.from({ length: 32 }, () => 'x'.repeat(64));
    const record = { ...EXAMPLE.record!, inSync: ids, voters: ids };
    const confirmed = Array.from({ length: 64 }, () => versionOf(2 ** 50, 2 ** 50));
    const payload = encodeSuperblock({ ...EXAMPLE, documents, record, confirmed });
    expect(payload.length).to.be.at.most(SUPERBLOCK.slotBytes - SLOT_HEADER_BYTES);
  });
});

describe('the activity log', () => {
  const log = {
    applied: versionOf(2 ** 40, 2 ** 50 + 1),
    flushed: versionOf(3, 4),
    regions: [0, 5, 2 ** 24 - 1],
  };

  it('has a header whose fields follow each other', () => {
    let end = 0;
    for (const field of Object.values(ACTIVITY_LAYOUT)) {
      expect(field.offset).to.equal(end);
      end += field.bytes;
    }
    expect(end).to.equal(ACTIVITY_HEADER_BYTES);
  });

  it('gives back what was stored', () => {
    expect(decodeActivityLog(encodeActivityLog(log), 2 ** 24)).to.deep.equal(log);
  });

  it('fits its slot when it is full', () => {
    const regions = Array.from({ length: MAX_MARKED_REGIONS }, (_, index) => index);
    expect(encodeActivityLog({ ...log, regions }).length).to.be.at.most(
      ACTIVITY_LOG.slotBytes - SLOT_HEADER_BYTES,
    );
  });

  it('is refused when it names a region beyond the volume, or has another length', () => {
    const payload = encodeActivityLog(log);
    expect(damagedBy(() => decodeActivityLog(payload, 2 ** 24 - 1))).to.equal(true);
    for (let length = 0; length < payload.length; length += 1)
      expect(damagedBy(() => decodeActivityLog(payload.subarray(0, length), 2 ** 24))).to.equal(
        true,
      );
  });
});
