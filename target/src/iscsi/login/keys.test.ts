import { expect } from 'chai';
import fc from 'fast-check';
import { defaultParameters, negotiateKey, type OperationalParameters } from './keys.ts';

const LEADING = { discovery: false, leading: true };
const DISCOVERY = { discovery: true, leading: true };
const LATER = { discovery: false, leading: false };

const negotiate = (offer: string, scope = LEADING) => {
  const parameters = defaultParameters(131_072);
  const [key, ...value] = offer.split('=');
  const outcome = negotiateKey(parameters, key!, value.join('='), scope);
  return { outcome, parameters };
};

type Row = readonly [offer: string, answer: string | null, result?: Partial<OperationalParameters>];

const ROWS: readonly Row[] = [
  ['HeaderDigest=None', 'None', { headerDigest: false }],
  ['HeaderDigest=CRC32C,None', 'CRC32C', { headerDigest: true }],
  ['HeaderDigest=None,CRC32C', 'None', { headerDigest: false }],
  ['HeaderDigest=X-mine,CRC32C', 'CRC32C', { headerDigest: true }],
  ['HeaderDigest=X-mine', 'Reject', { headerDigest: false }],
  ['DataDigest=CRC32C', 'CRC32C', { dataDigest: true }],
  ['DataDigest=crc32c', 'Reject', { dataDigest: false }],
  ['MaxConnections=8', '1', { maxConnections: 1 }],
  ['MaxConnections=0', 'Reject'],
  ['InitialR2T=No', 'No', { initialR2T: false }],
  ['InitialR2T=Yes', 'Yes', { initialR2T: true }],
  ['InitialR2T=yes', 'Reject', { initialR2T: true }],
  ['ImmediateData=Yes', 'Yes', { immediateData: true }],
  ['ImmediateData=No', 'No', { immediateData: false }],
  ['MaxRecvDataSegmentLength=512', null, { initiatorMaxDataSegmentBytes: 512 }],
  ['MaxRecvDataSegmentLength=16777215', null, { initiatorMaxDataSegmentBytes: 16_777_215 }],
  ['MaxRecvDataSegmentLength=511', 'Reject', { initiatorMaxDataSegmentBytes: 8192 }],
  ['MaxRecvDataSegmentLength=16777216', 'Reject'],
  ['MaxBurstLength=262144', '262144', { maxBurstBytes: 262_144 }],
  ['MaxBurstLength=16776192', '4194304', { maxBurstBytes: 4_194_304 }],
  ['MaxBurstLength=0x10000', '65536', { maxBurstBytes: 65_536 }],
  ['MaxBurstLength=100', 'Reject'],
  ['FirstBurstLength=65536', '65536', { firstBurstBytes: 65_536 }],
  ['FirstBurstLength=1048576', '262144', { firstBurstBytes: 262_144 }],
  ['DefaultTime2Wait=2', '2', { defaultTime2WaitSeconds: 2 }],
  ['DefaultTime2Wait=3601', 'Reject'],
  ['DefaultTime2Retain=20', '0', { defaultTime2RetainSeconds: 0 }],
  ['MaxOutstandingR2T=1', '1', { maxOutstandingR2T: 1 }],
  ['MaxOutstandingR2T=65535', '8', { maxOutstandingR2T: 8 }],
  ['DataPDUInOrder=No', 'Yes'],
  ['DataSequenceInOrder=No', 'Yes'],
  ['ErrorRecoveryLevel=2', '0', { errorRecoveryLevel: 0 }],
  ['ErrorRecoveryLevel=3', 'Reject'],
  ['iSCSIProtocolLevel=2', '1', { protocolLevel: 1 }],
  ['TaskReporting=ResponseFence,RFC3720', 'RFC3720'],
  ['TaskReporting=FastAbort', 'Reject'],
  ['X#NodeArchitecture=vax', null],
  ['IFMarker=No', 'Reject'],
  ['OFMarkInt=2048~8192', 'Reject'],
  ['X-com.example.key=1', 'NotUnderstood'],
  ['Nonsense=1', 'NotUnderstood'],
  ['MaxConnections=Irrelevant', null],
  ['Nonsense=NotUnderstood', null],
];

describe('negotiation of operational keys', () => {
  for (const [offer, answer, result] of ROWS) {
    it(`${offer} is answered with ${answer ?? 'nothing'}`, () => {
      const { outcome, parameters } = negotiate(offer);
      expect(outcome).to.deep.equal({ kind: 'answer', value: answer });
      if (result !== undefined) expect(parameters).to.include(result);
    });
  }

  it('never answers a first burst above the burst', () => {
    const parameters = defaultParameters(131_072);
    negotiateKey(parameters, 'MaxBurstLength', '16384', LEADING);
    const outcome = negotiateKey(parameters, 'FirstBurstLength', '65536', LEADING);
    expect(outcome).to.deep.equal({ kind: 'answer', value: '16384' });
  });

  it('finds data transfer irrelevant in discovery sessions', () => {
    for (const offer of ['MaxBurstLength=512', 'InitialR2T=No', 'TaskReporting=RFC3720']) {
      expect(negotiate(offer, DISCOVERY).outcome).to.deep.equal({
        kind: 'answer',
        value: 'Irrelevant',
      });
    }
    expect(negotiate('DefaultTime2Wait=1', DISCOVERY).outcome).to.include({ value: '1' });
  });

  it('rejects session-wide keys on a later connection and takes those of the connection', () => {
    expect(negotiate('MaxBurstLength=512', LATER).outcome).to.include({ value: 'Reject' });
    expect(negotiate('ImmediateData=No', LATER).outcome).to.include({ value: 'Reject' });
    expect(negotiate('HeaderDigest=CRC32C', LATER).outcome).to.include({ value: 'CRC32C' });
  });

  it("takes the target's own keys for a protocol error", () => {
    for (const key of ['TargetAlias', 'TargetAddress', 'TargetPortalGroupTag', 'SendTargets']) {
      expect(negotiate(`${key}=x`).outcome.kind).to.equal('protocol-error');
    }
  });

  it('keeps every parameter in range, whatever is offered', () => {
    const keys = ROWS.map(([offer]) => offer.split('=')[0]!);
    const value = fc.oneof(fc.string(), fc.integer().map(String), fc.constantFrom('Yes', 'No'));
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom(...keys), value)), (offers) => {
        const parameters = defaultParameters(131_072);
        for (const [key, offered] of offers) negotiateKey(parameters, key, offered, LEADING);
        expect(parameters.initiatorMaxDataSegmentBytes).to.be.within(512, 0xffffff);
        expect(parameters.maxBurstBytes).to.be.within(512, 4_194_304);
        expect(parameters.firstBurstBytes).to.be.within(512, 262_144);
        expect(parameters.maxOutstandingR2T).to.be.within(1, 8);
        expect(parameters.errorRecoveryLevel).to.equal(0);
      }),
      { numRuns: 300 },
    );
  });
});
