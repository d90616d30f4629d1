import { expect } from 'chai';
import { newRecord } from './record.ts';
import { parseTargetStatus, type TargetStatus } from './target-status.ts';
import { viewOf, type ProcessFacts, type VolumeFacts } from './volume-view.ts';

const up: ProcessFacts = { status: 'running', failures: 0, lastFailure: null };
const failing: ProcessFacts = {
  status: 'restarting',
  failures: 3,
  lastFailure: 'no space is left',
};
const SEEN = '2026-01-01T00:00:00.000Z';
const record = newRecord(
  { name: 'db', sizeBytes: 1024 ** 3, replicas: 3 },
  { portalPort: 3260, idempotencyKey: null, createdAt: new Date(0) },
);

function facts(change: Partial<VolumeFacts> = {}, replicaFacts = [up, up, up]): VolumeFacts {
  return {
    record,
    isDeleting: false,
    node: 'host',
    portal: '127.0.0.1:3260',
    logDirectory: '/logs/db',
    sinceOf: () => SEEN,
    target: up,
    refusal: null,
    targetStatus: statusOf('healthy', ['in-sync', 'in-sync', 'in-sync']),
    members: record.members.map((member, i) => ({
      member,
      facts: replicaFacts[i] ?? up,
      directory: `/data/replica-${i + 1}`,
      address: `unix:/run/${i + 1}`,
    })),
    ...change,
  };
}

function statusOf(
  state: TargetStatus['state'],
  modes: readonly TargetStatus['replicas'][number]['mode'][],
): TargetStatus {
  return {
    state,
    access: null,
    since: null,
    reason: null,
    next: null,
    sessions: [],
    integrity: null,
    settings: null,
    voters: null,
    sizeBytes: null,
    replicas: modes.map((mode, i) => ({
      id: record.members[i]?.id ?? null,
      address: null,
      mode,
      since: null,
      lastError: mode === 'offline' ? 'connection lost' : null,
      resync: mode === 'syncing' ? { percent: 40.6, bytesPerSecond: 1, etaSeconds: 2 } : null,
    })),
  };
}

describe('what is told of a volume', () => {
  it('is healthy without a reason only when the target says so', () => {
    const view = viewOf(facts());
    expect(view).to.include({ status: 'healthy', reason: null, inSyncCount: 3, replicaCount: 3 });
    expect(view).to.include({ iqn: 'iqn.2016-09.com.openebs:db', sizeText: '1 GiB' });
  });

  it('names who is missing, why, and who is on the way back', () => {
    const targetStatus = statusOf('degraded', ['in-sync', 'offline', 'syncing']);
    expect(viewOf(facts({ targetStatus }))).to.include({
      status: 'degraded',
      reason: 'replica-2 is offline (connection lost); replica-3 is syncing, 40%',
      inSyncCount: 1,
    });
  });

  it("gives a failing process's own words", () => {
    const targetStatus = statusOf('unavailable', ['offline', 'offline', 'in-sync']);
    const view = viewOf(facts({ targetStatus }, [failing, failing, up]));
    expect(view.reason).to.include('replica-1 is offline (no space is left)');
    const starting = viewOf(facts({ targetStatus: statusOf('starting', []) }, [up, failing, up]));
    expect(starting).to.include({ status: 'unavailable', reason: 'replica-2: no space is left' });
  });

  it('is starting while nothing has failed, unavailable when the target does not stay up', () => {
    const target: ProcessFacts = { ...up, status: 'starting' };
    expect(viewOf(facts({ target, targetStatus: null })).status).to.equal('starting');
    const view = viewOf(facts({ target: failing, targetStatus: null }));
    expect(view).to.include({ status: 'unavailable', reason: 'target: no space is left' });
  });

  it('says since when: what the target knows, else what was seen', () => {
    const told = statusOf('degraded', ['in-sync', 'offline', 'in-sync']);
    const targetStatus = { ...told, since: '2026-02-02T00:00:00.000Z' };
    expect(viewOf(facts({ targetStatus })).since).to.equal('2026-02-02T00:00:00.000Z');
    const { since, status } = viewOf(facts({ targetStatus: null, target: failing }));
    expect([since, status]).to.deep.equal([SEEN, 'unavailable']);
  });

  it("says what is next: the target's words with people's names, and where a log is", () => {
    const told = statusOf('degraded', ['in-sync', 'offline', 'in-sync']);
    const targetStatus = { ...told, next: 'unix:/run/2 comes back' };
    expect(viewOf(facts({ targetStatus }, [up, failing, up])).next).to.equal(
      'replica-2 comes back; replica-2 is started again after at most 15 s, its log is /logs/db/replica-2.log',
    );
    expect(viewOf(facts({ targetStatus: null, target: failing })).next).to.include(
      '/logs/db/target.log',
    );
    expect(viewOf(facts()).next).to.equal(null);
  });

  it('tells what initiators get', () => {
    const full = { ...statusOf('unavailable', ['in-sync', 'offline', 'offline']) };
    const targetStatus = { ...full, access: 'read-only' as const };
    expect(viewOf(facts({ targetStatus })).access).to.equal('read-only');
    expect(viewOf(facts({ targetStatus: null })).access).to.equal('none');
  });

  it('is being deleted whatever its processes do', () => {
    expect(viewOf(facts({ isDeleting: true, targetStatus: null })).status).to.equal('deleting');
  });

  it('does not count the witness as a copy', () => {
    const two = newRecord(
      { name: 'db', sizeBytes: 1024 ** 3, replicas: 2 },
      { portalPort: 1, idempotencyKey: null, createdAt: new Date(0) },
    );
    const members = two.members.map((member) => ({
      member,
      facts: up,
      directory: '',
      address: '',
    }));
    const targetStatus: TargetStatus = {
      state: 'healthy',
      access: null,
      since: null,
      reason: null,
      next: null,
      sessions: [],
      integrity: null,
      settings: null,
      voters: null,
      sizeBytes: null,
      replicas: two.members.map(({ id }) => ({
        id,
        address: null,
        mode: 'in-sync',
        since: null,
        lastError: null,
        resync: null,
      })),
    };
    const view = viewOf(facts({ record: two, members, targetStatus }));
    expect(view.replicas).to.have.length(3);
    expect(view).to.include({ replicaCount: 2, inSyncCount: 2 });
  });
});

describe("a target's status", () => {
  it('is null where the answer is none', () => {
    for (const body of ['', '[]', '{}', '{"state":"odd"}', 'null', '{"state":"healthy"']) {
      expect(parseTargetStatus(body), body).to.equal(null);
    }
  });

  it('survives fields that are missing or wrong', () => {
    const body = '{"state":"degraded","replicas":[{"mode":"?","resync":{}},7],"sessions":[{}]}';
    expect(parseTargetStatus(body)).to.deep.equal({
      state: 'degraded',
      access: null,
      since: null,
      reason: null,
      next: null,
      voters: null,
      sizeBytes: null,
      replicas: [
        {
          id: null,
          address: null,
          mode: 'offline',
          since: null,
          lastError: null,
          resync: { percent: 0, bytesPerSecond: null, etaSeconds: null },
        },
      ],
      sessions: [{ initiator: 'unknown', address: null }],
      integrity: null,
      settings: null,
    });
  });
});
