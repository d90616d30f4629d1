import { expect } from 'chai';
import fc from 'fast-check';
import { FrameDecoder } from './decoder.ts';
import { FrameEncoder, frameFields } from './encoder.ts';
import { ProtocolError } from './errors.ts';
import type { Message } from './messages.ts';
import { decodeMessage, encodeMessage, isMessage } from './messages.ts';
import { epoch, seq } from './types.ts';

const VOLUME = '6f1c3c52-7d5b-4c4e-9a39-1f9f5b0d7a11';
const REPLICA = '11111111-2222-4333-8444-555555555555';
const AT = '2026-01-01T00:00:00.000Z';
const encoder = new FrameEncoder(VOLUME);

const decodeFrame = (bytes: Buffer): { message: Message; requestId: number } => {
  let result: { message: Message; requestId: number } | null = null;
  const decoder = new FrameDecoder((frame) => {
    result = { message: decodeMessage(frame), requestId: frame.requestId };
  });
  decoder.consume(bytes, 0, bytes.length, { paused: false, reserve: () => undefined });
  return result!;
};

const record = {
  volumeId: VOLUME,
  epoch: epoch(4),
  configSeq: 9,
  inSync: [REPLICA],
  voters: [REPLICA, VOLUME],
};
const state = {
  promisedEpoch: epoch(4),
  record,
  layers: [
    { id: 1, parent: null, name: 'monday', createdAt: AT, complete: true },
    { id: 2, parent: 1, name: null, createdAt: AT, complete: false },
  ],
  headLayer: 2,
  cleanStart: true,
  sameBoot: false,
  intact: true,
  atomic: { maxBytes: 131072, last: { offsetBytes: 1044480, lengthBytes: 8192 } },
  documents: ['reservations'],
  lastVersion: { epoch: epoch(4), seq: seq(123) },
  leaseRemainingMs: 1750,
};
const refusal = { code: 'NO_SPACE', message: 'the disk is full' };

const MESSAGES: readonly Message[] = [
  { kind: 'hello', protocolVersions: [1, 2], volumeId: VOLUME, targetName: 'demo' },
  { kind: 'record', record },
  { kind: 'document-get', name: 'reservations' },
  { kind: 'document-put', name: 'settings', content: Buffer.from([0, 1, 2, 255]) },
  { kind: 'layers', change: 'snapshot', head: 3, name: 'tuesday', createdAt: AT },
  { kind: 'layers', change: 'undo', head: 3 },
  { kind: 'layers', change: 'revert', head: 4, to: 1, name: 'before revert', createdAt: AT },
  { kind: 'layers', change: 'rename', layer: 1, name: 'x'.repeat(63) },
  { kind: 'layers', change: 'delete', layer: 1 },
  { kind: 'layers', change: 'pause-merges' },
  { kind: 'layers', change: 'resume-merges' },
  { kind: 'layers', change: 'adopt', head: 2, layers: state.layers },
  { kind: 'layers', change: 'complete', layer: 2 },
  {
    kind: 'welcome',
    protocolVersion: 1,
    identity: { volumeId: VOLUME, replicaId: REPLICA, role: 'data', sizeBytes: 2 ** 46 },
    state,
  },
  { kind: 'refused', ...refusal },
  { kind: 'promised', state: { ...state, record: null } },
  { kind: 'document', name: 'settings', content: null },
  { kind: 'document', name: 'settings', content: Buffer.alloc(65536, 7) },
  { kind: 'failed-request', ...refusal, offsetBytes: 4096 },
  { kind: 'status', state, appliedSeq: 5, counters: { readOps: 1 } },
  { kind: 'fenced', promisedEpoch: epoch(8) },
  { kind: 'failed', ...refusal, offsetBytes: 8192 },
];

describe('messages', () => {
  for (const message of MESSAGES) {
    const label = 'change' in message ? `${message.kind} ${message.change}` : message.kind;
    it(`come back as they were sent: ${label}`, () => {
      const decoded = decodeFrame(encodeMessage(encoder, message, 42));
      expect(decoded).to.deep.equal({ message, requestId: 42 });
    });
  }

  it('are refused with the path of the field that is wrong', () => {
    const send = (kind: Message['kind'], body: unknown) => () =>
      decodeFrame(encoder.frame(frameFields(kind), Buffer.from(JSON.stringify(body))));
    const wrong = (kind: Message['kind'], body: unknown, words: string): void => {
      expect(send(kind, body))
        .to.throw(ProtocolError, words)
        .with.property('code', 'MALFORMED_JSON');
    };
    wrong('hello', [], 'hello must be an object');
    wrong('hello', { protocolVersions: ['1'] }, 'hello.protocolVersions must be a list of whole');
    wrong('record', { record: { ...record, epoch: -1 } }, 'record.record.epoch must be');
    wrong('record', { record: { ...record, voters: ['x'] } }, 'record.record.voters must be');
    wrong('document-put', { name: '../x', content: '' }, 'document-put.name must be');
    wrong('document-put', { name: 'x', content: '*' }, 'document-put.content must be base64');
    const adopt = (layer: object): object => ({ change: 'adopt', head: 1, layers: [layer] });
    wrong('layers', { change: 'forget' }, 'layers.change must be');
    wrong('layers', { change: 'snapshot', head: 0 }, 'layers.head must be');
    wrong('layers', { change: 'rename', layer: 1, name: 'a/b' }, 'layers.name must be');
    wrong('layers', adopt({ id: 1, parent: 1 }), 'layers.layers[0].parent must be');
    wrong('fenced', { promisedEpoch: 2 ** 53 }, 'fenced.promisedEpoch must be');
    expect(() => decodeFrame(encoder.frame(frameFields('hello'), Buffer.from('{'))))
      .to.throw(ProtocolError)
      .with.property('code', 'MALFORMED_JSON');
  });

  it('of a release that knew one layer give its parent, its head and that it is complete', () => {
    const old = { ...state, layers: [{ id: 1, name: null, createdAt: AT }], headLayer: undefined };
    const bytes = encoder.frame(
      frameFields('promised'),
      Buffer.from(JSON.stringify({ state: old })),
    );
    const { message } = decodeFrame(bytes);
    const layers = [{ id: 1, parent: null, name: null, createdAt: AT, complete: true }];
    expect(message).to.deep.equal({ kind: 'promised', state: { ...state, layers, headLayer: 1 } });
  });

  it('throw nothing but ProtocolError, whatever the JSON', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...MESSAGES),
        fc.jsonValue(),
        fc.string(),
        (message, value, key) => {
          const body = { ...message, [Object.keys(message)[1] ?? key]: value };
          try {
            decodeFrame(
              encoder.frame(frameFields(message.kind), Buffer.from(JSON.stringify(body))),
            );
          } catch (error) {
            expect(error).to.be.instanceOf(ProtocolError);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it('are not what a binary frame is', () => {
    expect(isMessage('write')).to.equal(false);
    expect(isMessage('hello')).to.equal(true);
  });
});
