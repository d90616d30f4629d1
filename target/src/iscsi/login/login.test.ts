import { expect } from 'chai';
import fc from 'fast-check';
import { chapResponse } from './chap.ts';
import { Login, type LoginAnswer, type LoginRequest, type LoginSettings } from './login.ts';
import { LoginStatus } from './status.ts';
import { parseText } from './text.ts';

const TARGET = 'iqn.2016-09.com.openebs:vol';
const INITIATOR = 'InitiatorName=iqn.1993-08.org.debian:01:abc';
const NAMES = [INITIATOR, `TargetName=${TARGET}`];

const SETTINGS: LoginSettings = {
  targetName: TARGET,
  targetAlias: 'vol',
  portalGroupTag: 3,
  authentication: { kind: 'none' },
  maxDataSegmentBytes: 131_072,
  random: (bytes) => new Uint8Array(bytes).fill(5),
  redirect: () => null,
  admit: () => null,
};

const CHAP: LoginSettings = {
  ...SETTINGS,
  authentication: {
    kind: 'chap',
    discovery: true,
    settings: { initiator: { user: 'u', secret: 'initiator secret' }, target: null },
  },
};

const request = (items: readonly string[], fields: Partial<LoginRequest> = {}): LoginRequest => ({
  transit: true,
  more: false,
  currentStage: 1,
  nextStage: 3,
  versionMin: 0,
  isid: '00023d000001',
  tsih: 0,
  cid: 1,
  text: Buffer.from(items.map((item) => `${item}\0`).join('')),
  ...fields,
});

const SECURITY = { currentStage: 0, nextStage: 1 } as const;

const texts = (answer: LoginAnswer): string[] =>
  answer.kind === 'drop' ? [] : parseText(answer.text).map(({ key, value }) => `${key}=${value}`);

const status = (answer: LoginAnswer): number | string =>
  answer.kind === 'fail' ? answer.status : answer.kind;

describe('Login', () => {
  it('goes straight to full feature phase and declares its own keys once', () => {
    const login = new Login(SETTINGS);
    const answer = login.step(request([...NAMES, 'InitialR2T=No', 'X-mine=1']));
    expect(answer).to.include({ kind: 'respond', currentStage: 1, nextStage: 3 });
    expect(texts(answer)).to.deep.equal([
      'TargetAlias=vol',
      'TargetPortalGroupTag=3',
      'InitialR2T=No',
      'X-mine=NotUnderstood',
      'MaxRecvDataSegmentLength=131072',
    ]);
    expect(login.identity).to.include({ discovery: false, cid: 1 });
    expect(login.parameters.initialR2T).to.equal(false);
  });

  it('takes both stages in turn, and text over several PDUs', () => {
    const login = new Login(SETTINGS);
    const first = login.step(request([...NAMES, 'AuthMethod=CHAP,None'], SECURITY));
    expect(first).to.include({ kind: 'respond', currentStage: 0, nextStage: 1 });
    expect(texts(first)).to.include('AuthMethod=None');
    const half = Buffer.from('MaxBurstLength=65');
    const more = login.step(request([], { transit: false, more: true, text: half }));
    expect(more).to.include({ kind: 'respond', nextStage: null });
    expect(texts(more)).to.deep.equal([]);
    const rest = login.step(request([], { text: Buffer.from('536\0HeaderDigest=CRC32C\0') }));
    expect(texts(rest)).to.include.members(['MaxBurstLength=65536', 'HeaderDigest=CRC32C']);
    expect(rest).to.include({ nextStage: 3 });
  });

  it('stays in its stage until the initiator wants to leave', () => {
    const login = new Login(SETTINGS);
    expect(login.step(request(NAMES, { transit: false }))).to.include({ nextStage: null });
    const answer = login.step(request(['ImmediateData=No'], { transit: false }));
    expect(texts(answer)).to.deep.equal(['ImmediateData=No']);
    expect(login.step(request([]))).to.include({ nextStage: 3 });
  });

  it('lets names be repeated, and nothing be negotiated twice', () => {
    const login = new Login(SETTINGS);
    login.step(request(NAMES, SECURITY));
    expect(login.step(request([...NAMES, 'ImmediateData=No'], { transit: false })).kind).to.equal(
      'respond',
    );
    expect(status(login.step(request(['ImmediateData=No'])))).to.equal(LoginStatus.initiatorError);
    const other = new Login(SETTINGS);
    other.step(request(NAMES, SECURITY));
    expect(status(other.step(request(['InitiatorName=iqn.2000-01.x:other'])))).to.equal(
      LoginStatus.initiatorError,
    );
  });

  const REFUSALS: readonly [
    what: string,
    settings: LoginSettings,
    request: LoginRequest,
    status: number | string,
  ][] = [
    ['no InitiatorName', SETTINGS, request([`TargetName=${TARGET}`]), LoginStatus.missingParameter],
    ['no TargetName', SETTINGS, request([INITIATOR]), LoginStatus.missingParameter],
    [
      'a name that is none',
      SETTINGS,
      request(['InitiatorName=x', `TargetName=${TARGET}`]),
      LoginStatus.initiatorError,
    ],
    [
      'another target',
      SETTINGS,
      request([INITIATOR, 'TargetName=iqn.2000-01.x:y']),
      LoginStatus.notFound,
    ],
    [
      'an unknown session type',
      SETTINGS,
      request([...NAMES, 'SessionType=Odd']),
      LoginStatus.sessionTypeNotSupported,
    ],
    [
      'a later version',
      SETTINGS,
      request(NAMES, { versionMin: 1 }),
      LoginStatus.unsupportedVersion,
    ],
    ['no such stage', SETTINGS, request(NAMES, { currentStage: 2 }), LoginStatus.initiatorError],
    [
      'a transition backwards',
      SETTINGS,
      request(NAMES, { currentStage: 1, nextStage: 0 }),
      LoginStatus.initiatorError,
    ],
    ['T with C', SETTINGS, request(NAMES, { more: true }), LoginStatus.initiatorError],
    [
      "the target's keys",
      SETTINGS,
      request([...NAMES, 'TargetPortalGroupTag=1']),
      LoginStatus.initiatorError,
    ],
    ['text that is none', SETTINGS, request(['rubbish']), 'drop'],
    [
      'more text than the cap',
      SETTINGS,
      request([], { text: new Uint8Array(16 * 1024 + 1).fill(0x41) }),
      'drop',
    ],
    ['no authentication', CHAP, request(NAMES), LoginStatus.authenticationFailure],
    [
      'no AuthMethod that fits',
      CHAP,
      request([...NAMES, 'AuthMethod=None'], SECURITY),
      LoginStatus.authenticationFailure,
    ],
    [
      'leaving security without an offer',
      CHAP,
      request(NAMES, SECURITY),
      LoginStatus.authenticationFailure,
    ],
    [
      'CHAP only, where none is set up',
      SETTINGS,
      request([...NAMES, 'AuthMethod=CHAP'], SECURITY),
      LoginStatus.authenticationFailure,
    ],
    [
      'discovery without the authentication that it needs',
      CHAP,
      request([INITIATOR, 'SessionType=Discovery']),
      LoginStatus.authenticationFailure,
    ],
  ];
  for (const [what, settings, given, expected] of REFUSALS) {
    it(`refuses ${what}`, () => {
      expect(status(new Login(settings).step(given))).to.equal(expected);
    });
  }

  it('refuses a change of ISID or CID, and a step back to an earlier stage', () => {
    for (const change of [{ isid: '00023d000002' }, { cid: 2 }, SECURITY]) {
      const login = new Login(SETTINGS);
      login.step(request(NAMES, { transit: false }));
      expect(status(login.step(request([], change)))).to.equal(LoginStatus.initiatorError);
    }
  });

  it('sends initiators to where the target has moved', () => {
    for (const permanent of [false, true]) {
      const redirect = () => ({ address: '10.0.0.9:3260,1', permanent });
      const answer = new Login({ ...SETTINGS, redirect }).step(request(NAMES));
      expect(status(answer)).to.equal(
        permanent ? LoginStatus.targetMovedPermanently : LoginStatus.targetMovedTemporarily,
      );
      expect(texts(answer)).to.deep.equal(['TargetAddress=10.0.0.9:3260,1']);
    }
  });

  it('opens discovery sessions without a target name', () => {
    const login = new Login(SETTINGS);
    const answer = login.step(request([INITIATOR, 'SessionType=Discovery', 'MaxBurstLength=512']));
    expect(answer).to.include({ nextStage: 3 });
    expect(texts(answer)).to.include('MaxBurstLength=Irrelevant');
    expect(login.identity?.discovery).to.equal(true);
  });

  it('lets in who proves the secret, and not before', () => {
    const login = new Login(CHAP);
    const offer = login.step(request([...NAMES, 'AuthMethod=CHAP,None'], SECURITY));
    expect(offer).to.include({ nextStage: null });
    expect(texts(offer)).to.include('AuthMethod=CHAP');
    const challenge = login.step(request(['CHAP_A=8,7'], { ...SECURITY, transit: false }));
    expect(texts(challenge)).to.deep.equal(['CHAP_A=8', 'CHAP_I=5', `CHAP_C=0x${'05'.repeat(32)}`]);
    const proof = chapResponse('sha3-256', 5, 'initiator secret', new Uint8Array(32).fill(5));
    const hex = Buffer.from(proof).toString('hex');
    const answer = login.step(request(['CHAP_N=u', `CHAP_R=0x${hex}`], SECURITY));
    expect(answer).to.include({ nextStage: 1 });
    expect(login.step(request(['InitialR2T=Yes']))).to.include({ nextStage: 3 });
  });

  it('refuses a wrong proof with authentication failure', () => {
    const login = new Login(CHAP);
    login.step(request([...NAMES, 'AuthMethod=CHAP'], SECURITY));
    login.step(request(['CHAP_A=5'], { ...SECURITY, transit: false }));
    const answer = login.step(request(['CHAP_N=u', `CHAP_R=0x${'00'.repeat(16)}`], SECURITY));
    expect(status(answer)).to.equal(LoginStatus.authenticationFailure);
  });

  it('never lets anyone in without the secret, whatever is sent', () => {
    const item = fc.constantFrom(
      ...NAMES,
      'AuthMethod=CHAP',
      'AuthMethod=None',
      'AuthMethod=CHAP,None',
      'CHAP_A=5',
      'CHAP_N=u',
      'CHAP_R=0x00',
      'CHAP_I=1',
      'CHAP_C=0x01',
      'SessionType=Discovery',
      'SessionType=Normal',
      'InitialR2T=No',
    );
    const step = fc.record({
      items: fc.array(item, { maxLength: 6 }),
      transit: fc.boolean(),
      more: fc.boolean(),
      currentStage: fc.nat(3),
      nextStage: fc.nat(3),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 6 }), (steps) => {
        const login = new Login(CHAP);
        for (const { items, ...fields } of steps) {
          const answer = login.step(request(items, fields));
          if (answer.kind !== 'respond') break;
          expect(answer.nextStage).to.equal(null);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
