import { mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  LOG_CHECK_PERIOD_MS,
  OBSERVE_PERIOD_MS,
  READY_POLL_MS,
  REPLICAS_FIRST_MS,
  REPLICA_STOP_MS,
  TARGET_STOP_MS,
} from '../../limits.ts';
import type {
  DaemonMetrics,
  ScrubView,
  VolumeEvent,
  VolumeStats,
  VolumeView,
} from '../orchestrator.ts';
import type { CloneOrigin } from './clone.ts';
import { Convergence } from './convergence.ts';
import { controlGet, controlSend } from './control-client.ts';
import { scrapeDaemons } from './daemon-metrics.ts';
import { replicaCommand, targetCommand, type CommandLine } from './daemons.ts';
import { IntegrityWatch } from './integrity-watch.ts';
import { forgetFirstChap, removeFirstChap } from './first-chap.ts';
import { sendSetting, type SettingChange } from './target-settings.ts';
import { LogFile } from './log-file.ts';
import { findFreePort, tryPort } from './ports.ts';
import { memberName, writeRecord, type MemberRecord, type VolumeRecord } from './record.ts';
import { StateClock } from './state-clock.ts';
import { StatusNews } from './status-news.ts';
import { SupervisedProcess, type ProcessChange } from './supervised-process.ts';
import { parseTargetStatus, type TargetStatus } from './target-status.ts';
import { withoutMember } from './record-changes.ts';
import { markDeleted, removeVolume } from './volume-directory.ts';
import { scrubOf } from './volume-integrity.ts';
import { notReady, type SnapshotPlaces } from './volume-snapshots.ts';
import { viewOf } from './volume-view.ts';
import { volumeStats } from './volume-stats.ts';

/** Where a volume's things are. */
export interface VolumePlaces {
  readonly directory: string;
  readonly logDirectory: string;
  readonly runtimeDirectory: string;
  readonly markDirectory: string;
  readonly portalHost: string;
  readonly node: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

interface Member {
  readonly member: MemberRecord;
  readonly directory: string;
  readonly dataSocket: string;
  readonly process: SupervisedProcess;
}

export type RunnerEvent = Omit<VolumeEvent, 'volume' | 'status'>;

/** One volume on this host: its replicas, its target, what they say. */
export class VolumeRunner {
  #record: VolumeRecord;
  readonly #places: VolumePlaces;
  readonly #emit: (event: RunnerEvent) => void;
  #members: readonly Member[];
  readonly #targetLog: LogFile;
  readonly #logs: LogFile[] = [];
  #target: SupervisedProcess | null = null;
  #portalPort: number;
  #targetStatus: TargetStatus | null = null;
  readonly #news = new StatusNews();
  readonly #since = new StateClock();
  readonly #integrity: IntegrityWatch;
  #isDeleting = false;
  readonly #convergence: Convergence;
  #stopping = false;
  #observer: NodeJS.Timeout | undefined;
  #logTimer: NodeJS.Timeout | undefined;

  constructor(record: VolumeRecord, places: VolumePlaces, emit: (event: RunnerEvent) => void) {
    this.#record = record;
    this.#places = places;
    this.#emit = emit;
    this.#integrity = new IntegrityWatch((event) => {
      if (!this.#stopping) emit(event);
    });
    this.#portalPort = record.portalPort;
    this.#members = record.members.map((member) => this.#makeMember(member));
    this.#targetLog = this.#makeLog('target');
    this.#convergence = new Convergence({
      remove: (member) => this.#removeMember(member),
      refused: (why) =>
        emit({ kind: 'status', severity: 'warning', message: `cannot be changed yet: ${why}` }),
    });
  }

  get record(): VolumeRecord {
    return this.#record;
  }

  get portalPort(): number {
    return this.#portalPort;
  }

  /**
   * Replicas first, then the target; returns when all are started, which is not yet when they
   * serve.
   */
  async start(takenPorts: () => ReadonlySet<number>): Promise<void> {
    mkdirSync(this.#places.directory, { recursive: true });
    if (this.#record.firstChap === null) await removeFirstChap(this.#places.directory);
    for (const { process } of this.#members) process.start();
    this.#logTimer = setInterval(() => {
      for (const log of this.#logs) log.rotateIfLarge();
    }, LOG_CHECK_PERIOD_MS).unref();
    const deadline = performance.now() + REPLICAS_FIRST_MS;
    while (!this.#allMembersRun() && performance.now() < deadline) await delay(READY_POLL_MS);
    if (this.#stopping) return;
    await this.#choosePort(takenPorts);
    if (this.#isStopping()) return;
    this.#target = this.#makeTarget();
    this.#target.start();
    this.#observeLater(READY_POLL_MS);
  }

  /** The target first, so that nothing is acknowledged any more; then the replicas, which flush. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#observer);
    clearInterval(this.#logTimer);
    if ((await this.#target?.stop()) === true) this.#tellKilled('the target');
    this.#targetStatus = null;
    await Promise.all(
      this.#members.map(async ({ member, process }) => {
        if (await process.stop()) this.#tellKilled(memberName(member));
      }),
    );
  }

  kill(): void {
    this.#target?.kill();
    for (const { process } of this.#members) process.kill();
  }

  /** Durable when it resolves; processes and the target follow, here and after a restart. */
  async change(next: VolumeRecord): Promise<void> {
    await writeRecord(this.#places.directory, next);
    this.#record = next;
    this.#members = next.members.map((member) => {
      const known = this.#members.find((each) => each.member.id === member.id);
      return known === undefined ? this.#makeMember(member) : { ...known, member };
    });
    if (!this.#stopping) for (const { process } of this.#members) process.start();
  }

  killReplica(id: string): void {
    this.#members.find(({ member }) => member.id === id)?.process.kill();
  }

  /** Durable; from here on the volume is gone for its users, also after a restart. */
  async markDeleting(): Promise<void> {
    await markDeleted(this.#places.directory);
    this.#isDeleting = true;
  }

  async remove(): Promise<void> {
    await removeVolume(this.#places);
  }

  view(): VolumeView {
    return viewOf({
      record: this.#record,
      isDeleting: this.#isDeleting,
      node: this.#places.node,
      portal: this.#portal(),
      logDirectory: this.#places.logDirectory,
      sinceOf: (status, access) => this.#since.of(`${status} ${access}`),
      target: this.#target ?? { status: 'starting', failures: 0, lastFailure: null },
      targetStatus: this.#targetStatus,
      refusal: this.#convergence.refusal,
      members: this.#members.map(({ member, directory, dataSocket, process }) => ({
        member,
        facts: process,
        directory,
        address: `unix:${dataSocket}`,
      })),
    });
  }

  /** Asks the target; says what has changed. */
  async observe(): Promise<VolumeView> {
    const target = this.#target;
    if (target !== null && target.status === 'running') {
      try {
        const { status, body } = await controlGet(target.controlSocket, '/v1/status');
        this.#targetStatus = status === 200 ? parseTargetStatus(body) : null;
      } catch {
        this.#targetStatus = null;
      }
    } else {
      this.#targetStatus = null;
    }
    const view = this.view();
    if (!this.#stopping) {
      await this.#converge();
      const news = this.#news.of(view);
      if (news !== null) this.#emit(news);
      this.#integrity.seen(view.integrity);
    }
    return view;
  }

  async #converge(): Promise<void> {
    const target = this.#target;
    const status = this.#targetStatus;
    if (target === null || status === null || this.#isDeleting) return;
    if (status.settings !== null && this.#record.firstChap !== null) {
      const next = { ...this.#record, firstChap: null };
      await forgetFirstChap(this.#places.directory, () => this.change(next));
    }
    const addresses = new Map(this.#members.map((each) => [each.member.id, each.dataSocket]));
    await this.#convergence.run({
      record: this.#record,
      status,
      socket: target.controlSocket,
      addressOf: ({ id }) => `unix:${addresses.get(id) ?? ''}`,
    });
  }

  /** Its process first, then its data, then its place in the record: any step can be repeated. */
  async #removeMember({ id }: MemberRecord): Promise<void> {
    const gone = this.#members.find(({ member }) => member.id === id);
    if (gone === undefined) return;
    await gone.process.stop();
    await rm(gone.directory, { recursive: true, force: true });
    await this.change(withoutMember(this.#record, id));
    const message = `${memberName(gone.member)} has left, its data is removed`;
    this.#emit({ kind: 'replica-removed', severity: 'info', message });
  }

  /** Throws Problem volume-not-ready. */
  async set(change: SettingChange): Promise<void> {
    await this.observe();
    const { name, firstChap } = this.#record;
    const isKept = this.#targetStatus?.settings != null && firstChap === null;
    if (this.#target === null || !isKept) throw notReady(name);
    await sendSetting(name, this.#target.controlSocket, change);
  }

  /** Null while the target does not take the order. */
  async scrub(): Promise<ScrubView | null> {
    const target = this.#target;
    if (target?.status !== 'running') return null;
    const answer = await controlSend(target.controlSocket, 'POST', '/v1/scrub').catch(() => null);
    return answer?.status === 200 ? scrubOf(JSON.parse(answer.body)) : null;
  }

  snapshotPlaces(): SnapshotPlaces {
    const target = this.#target?.status === 'running' ? this.#target.controlSocket : null;
    const replicas = this.#copiesInSync().map(({ process }) => process.controlSocket);
    return { volume: this.#record.name, target, replicas };
  }

  cloneOrigin(): CloneOrigin {
    const copies = this.#copiesInSync()
      .filter(({ member }) => member.leaving !== true)
      .map(({ member, directory }) => ({ id: member.id, directory }));
    return { record: this.#record, places: this.snapshotPlaces(), copies };
  }

  #copiesInSync(): readonly Member[] {
    const inSync = this.view().replicas.filter(({ mode }) => mode === 'in-sync');
    return this.#members.filter(
      ({ member }) => member.role === 'data' && inSync.some(({ id }) => id === member.id),
    );
  }

  /** Null while the target does not answer. */
  stats(): Promise<VolumeStats | null> {
    const { name, sizeBytes } = this.#record;
    const copies = this.#members.filter(({ member }) => member.role === 'data');
    return volumeStats({
      volume: name,
      sizeBytes,
      target: this.#target?.controlSocket ?? null,
      replicas: copies.map(({ process }) => process.controlSocket),
    });
  }

  scrape(): Promise<DaemonMetrics[]> {
    const volume = this.#record.name;
    const names = Object.fromEntries(
      this.#members.map(({ member, dataSocket }) => [`unix:${dataSocket}`, memberName(member)]),
    );
    const target = this.#target === null ? [] : [{ labels: { volume }, process: this.#target }];
    const replicas = this.#members.map(({ member, process }) => ({
      labels: { volume, replica: memberName(member) },
      process,
    }));
    const places = [...target, ...replicas].map(({ labels, process: { controlSocket } }) => ({
      labels,
      controlSocket,
    }));
    return scrapeDaemons(places, names);
  }

  async #askReplicas(): Promise<void> {
    await Promise.all(
      this.#members.map(({ member, process }) =>
        this.#integrity.askReplica(memberName(member), process),
      ),
    );
  }

  #tellKilled(what: string): void {
    this.#emit({
      kind: 'process-ended',
      severity: 'warning',
      message: `${what} did not end in time and was killed`,
    });
  }

  #observeLater(delayMs: number): void {
    this.#observer = setTimeout(() => {
      void Promise.all([this.observe(), this.#askReplicas()]).then(([view]) => {
        if (this.#stopping) return;
        this.#observeLater(view.status === 'healthy' ? OBSERVE_PERIOD_MS : OBSERVE_PERIOD_MS / 10);
      });
    }, delayMs).unref();
  }

  /** Asked again after each wait. */
  #isStopping(): boolean {
    return this.#stopping;
  }

  #allMembersRun(): boolean {
    return this.#stopping || this.#members.every(({ process }) => process.status === 'running');
  }

  async #choosePort(takenPorts: () => ReadonlySet<number>): Promise<void> {
    const { portalPort } = this.#record;
    const { portalHost } = this.#places;
    if ((await tryPort(portalHost, portalPort)) !== null) return;
    this.#portalPort = await findFreePort(portalHost, portalPort + 1, takenPorts());
    this.#emit({
      kind: 'portal-moved',
      severity: 'warning',
      message: `port ${portalPort} is busy: the portal is ${this.#portal()} until the next start`,
    });
  }

  #portal(): string {
    return `${this.#places.portalHost}:${this.#portalPort}`;
  }

  #makeMember(member: MemberRecord): Member {
    const name = memberName(member);
    const directory = join(this.#places.directory, name);
    const dataSocket = this.#socket(`${member.index}.d`);
    const control = this.#socket(`${member.index}.c`);
    // Asked for at each start: the volume may have grown.
    const command = (): CommandLine =>
      replicaCommand(this.#record, member, { directory, listen: dataSocket, control });
    const process = this.#makeProcess(name, command, {
      control,
      sockets: [dataSocket, control],
      log: this.#makeLog(name),
      stopTimeoutMs: REPLICA_STOP_MS,
    });
    return { member, directory, dataSocket, process };
  }

  #makeTarget(): SupervisedProcess {
    const control = this.#socket('t.c');
    // Those that leave are named too: they may still be needed for a majority.
    const command = (): CommandLine =>
      targetCommand(this.#record, {
        directory: this.#places.directory,
        replicas: this.#members.map(({ dataSocket }) => dataSocket),
        portal: this.#portal(),
        control,
      });
    return this.#makeProcess('target', command, {
      control,
      sockets: [control],
      log: this.#targetLog,
      stopTimeoutMs: TARGET_STOP_MS,
    });
  }

  #makeProcess(
    name: string,
    command: () => CommandLine,
    options: { control: string; sockets: readonly string[]; log: LogFile; stopTimeoutMs: number },
  ): SupervisedProcess {
    return new SupervisedProcess(
      {
        commandLine: command,
        name: `${this.#record.name}.${name}`,
        env: this.#places.env,
        controlSocket: options.control,
        sockets: options.sockets,
        log: options.log,
        markDirectory: this.#places.markDirectory,
        stopTimeoutMs: options.stopTimeoutMs,
      },
      (change) => this.#processChanged(name, change),
    );
  }

  #processChanged(name: string, change: ProcessChange): void {
    if (this.#stopping) return;
    if (change.kind === 'running') {
      if (!change.afterFailure) return;
      this.#emit({ kind: 'process-started', severity: 'info', message: `${name} runs again` });
      return;
    }
    this.#emit({
      kind: 'process-ended',
      severity: 'warning',
      message: `${name} ended (${change.reason}), starts again in ${change.retryMs / 1000} s`,
    });
  }

  #makeLog(name: string): LogFile {
    const log = new LogFile(join(this.#places.logDirectory, `${name}.log`));
    this.#logs.push(log);
    return log;
  }

  /** Short, because a socket's path is: eight characters of the volume's id tell volumes apart. */
  #socket(suffix: string): string {
    return join(this.#places.runtimeDirectory, `${this.#record.id.slice(0, 8)}-${suffix}.sock`);
  }
}
