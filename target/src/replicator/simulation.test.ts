/**
 * Goal: no acknowledged write is lost and no stale block is read, whatever dies and in whatever
 * order. Method: the replicator and real stores on simulated disks, a simulated network and virtual
 * time; a seed decides everything. Each sector is checked as a register: what a read may return
 * follows from the writes that were acknowledged, are under way, or have failed.
 */
import { strict as assert } from 'node:assert';
import { expect } from 'chai';
import { operation, SECTOR, Simulation, type SimulatedTarget } from './simulation.test-support.ts';

const MIB = 1024 * 1024;
/**
 * Sectors that are used: the same few, so that operations meet; in two extents of one region and
 * one of another.
 */
const AREAS = [0, MIB, 5 * MIB - 8192].map((at) => at / SECTOR);
const AREA_SECTORS = 32;
const MAX_IN_FLIGHT = 12;

class Register {
  /**
   * What a read may return; one value unless writes are under way, have failed, or were lost with
   * their target.
   */
  possible = new Set<number>([0]);
  writing: number | null = null;
  /** Counts writes that began, so that a read knows whether one was under way. */
  writes = 0;
}

class Checker {
  readonly registers = new Map<number, Register>();
  readonly simulation: Simulation;
  target: SimulatedTarget;
  inFlight = 0;
  acknowledged = 0;
  reads = 0;
  failures = 0;
  #value = 0;

  constructor(simulation: Simulation, target: SimulatedTarget) {
    this.simulation = simulation;
    this.target = target;
    for (const area of AREAS) {
      for (let sector = area; sector < area + AREA_SECTORS; sector++) {
        this.registers.set(sector, new Register());
      }
    }
  }

  #pick(): { first: number; count: number } {
    const { random } = this.simulation;
    const area = AREAS[Math.floor(random() * AREAS.length)]!;
    const count = 1 + Math.floor(random() * (random() < 0.5 ? 2 : AREA_SECTORS));
    const first = area + Math.floor(random() * (AREA_SECTORS - Math.min(count, AREA_SECTORS) + 1));
    return { first, count: Math.min(count, AREA_SECTORS) };
  }

  #range(first: number, count: number): Register[] {
    return Array.from({ length: count }, (_, index) => this.registers.get(first + index)!);
  }

  issue(): void {
    if (this.inFlight >= MAX_IN_FLIGHT) return;
    const { first, count } = this.#pick();
    const chance = this.simulation.random();
    if (chance < 0.5) this.read(first, count);
    else if (chance < 0.9) this.write(first, count, chance > 0.85);
    else this.flush();
  }

  write(first: number, count: number, unmap: boolean): void {
    const registers = this.#range(first, count);
    if (registers.some(({ writing }) => writing !== null)) return;
    const value = unmap ? 0 : ++this.#value;
    const data = Buffer.alloc(count * SECTOR);
    for (let at = 0; at < data.length; at += 4) data.writeUInt32LE(value, at);
    for (const register of registers) {
      register.writing = value;
      register.writes++;
    }
    const { target } = this;
    this.trace(first, count, `${unmap ? 'unmap' : 'write'} ${value}`);
    this.inFlight++;
    target.replicator.submit(
      operation(unmap ? 'unmap' : 'write', first * SECTOR, data.length, [data], (error) => {
        if (target !== this.target) return;
        this.inFlight--;
        this.trace(first, count, `wrote ${value}: ${error?.code ?? 'ok'}`);
        for (const register of registers) {
          register.writing = null;
          if (error === null) register.possible = new Set([value]);
          else register.possible.add(value);
        }
        if (error === null) this.acknowledged++;
        else this.failures++;
      }),
    );
    // The payload was lent until submit() returned.
    data.fill(0xee);
  }

  read(first: number, count: number, done?: () => void): void {
    const registers = this.#range(first, count);
    const before = registers.map(({ possible, writing, writes }) => ({
      possible: new Set(possible),
      writing,
      writes,
    }));
    const { target } = this;
    this.inFlight++;
    target.replicator.submit(
      operation('read', first * SECTOR, count * SECTOR, [], (error, io) => {
        if (target !== this.target) return;
        this.inFlight--;
        done?.();
        if (error !== null) {
          this.failures++;
          expect(error.code).to.equal('NOT_READY');
          return;
        }
        this.reads++;
        const data = Buffer.concat(io.chunks);
        registers.forEach((register, index) => {
          const value = data.readUInt32LE(index * SECTOR);
          const then = before[index]!;
          if (
            then.writing === null &&
            register.writes === then.writes &&
            register.possible.size > 1
          )
            this.trace(first + index, 1, `settled on ${value}`);
          const allowed =
            then.possible.has(value) ||
            value === then.writing ||
            register.possible.has(value) ||
            value === register.writing;
          assert(
            allowed,
            `sector ${first + index} read ${value}, allowed ${[...register.possible].join()} or ${register.writing}${process.env['SIMULATION_LOG'] ? `\n${this.simulation.log.join('\n')}` : ''}`,
          );
          for (let at = 0; at < SECTOR; at += 4) {
            assert.equal(data.readUInt32LE(index * SECTOR + at), value, 'a sector is never torn');
          }
          // Stable once read, where no write can have come between.
          if (then.writing === null && register.writes === then.writes) {
            register.possible = new Set([value]);
          }
        });
      }),
    );
  }

  /** For whoever replays a seed: what happened to each range. */
  trace(first: number, count: number, what: string): void {
    const { log, now } = this.simulation;
    log.push(`${now.toFixed(1)} [${first}, ${first + count}) ${what}`);
  }

  flush(): void {
    const { target } = this;
    this.inFlight++;
    target.replicator.submit(
      operation('flush', 0, 0, [], () => {
        if (target === this.target) this.inFlight--;
      }),
    );
  }

  /** What the old target had under way may or may not have happened. */
  moveTo(target: SimulatedTarget): void {
    this.target = target;
    this.inFlight = 0;
    for (const register of this.registers.values()) {
      if (register.writing !== null) register.possible.add(register.writing);
      register.writing = null;
    }
  }

  /** Reads every sector once. */
  async verify(): Promise<void> {
    for (const area of AREAS) {
      let read = false;
      this.read(area, AREA_SECTORS, () => (read = true));
      expect(await this.simulation.runUntil(() => read, 60_000), 'a read is answered').to.equal(
        true,
      );
    }
  }
}

const start = async (seed: number): Promise<{ simulation: Simulation; checker: Checker }> => {
  const simulation = new Simulation(seed, { sizeBytes: 8 * MIB });
  for (const replica of simulation.replicas) await replica.start();
  const target = simulation.target();
  expect(await simulation.runUntil(() => simulation.healthy(target), 10_000)).to.equal(true);
  return { simulation, checker: new Checker(simulation, target) };
};

const identical = (simulation: Simulation): void => {
  const images = simulation.replicas.map(({ disk }) => {
    const image = Buffer.alloc(simulation.sizeBytes);
    disk.open('000001.img').read(image, 0, image.length, 0);
    return image;
  });
  for (const image of images)
    expect(image.equals(images[0]!), 'replicas are identical').to.equal(true);
};

const restartAll = async (simulation: Simulation): Promise<void> => {
  for (const replica of simulation.replicas) if (!replica.alive) await replica.start();
};

const settle = async (simulation: Simulation, checker: Checker): Promise<void> => {
  await restartAll(simulation);
  const { target } = checker;
  const healthy = await simulation.runUntil(
    () => simulation.healthy(target) && checker.inFlight === 0,
    60_000,
  );
  assert(
    healthy,
    `not healthy: ${target.replicator.assembly.waitingFor} ${target.replicator.assembly.members.map((m) => `${m.state.kind} ${m.lastError}`).join('; ')}\n${process.env['SIMULATION_LOG'] ? simulation.log.join('\n') : ''}`,
  );
  await checker.verify();
  await simulation.runUntil(() => checker.inFlight === 0, 10_000);
  await simulation.runFor(100);
  identical(simulation);
};

/** One run: operations and faults by chance, then everything comes back and is checked. */
const run = async (seed: number, steps: number): Promise<Checker> => {
  const { simulation, checker } = await start(seed);
  const { random } = simulation;
  for (let step = 0; step < steps; step++) {
    const chance = random();
    const victim = simulation.replicas[Math.floor(random() * 3)]!;
    if (chance < 0.4) {
      checker.issue();
    } else if (chance < 0.403) {
      // A machine stops only while the others hold everything, so that nothing acknowledged can be
      // lost.
      const power = simulation.healthy(checker.target) && random() < 0.5;
      victim.kill(power);
      if (power) {
        await victim.start();
        const { target } = checker;
        await simulation.runUntil(() => simulation.healthy(target), 60_000);
      }
    } else if (chance < 0.43) {
      if (!victim.alive) await victim.start();
    } else if (chance < 0.433) {
      for (const link of victim.links) link.cut();
    } else if (chance < 0.4345) {
      simulation.killTarget(checker.target);
      checker.moveTo(simulation.target({ holdMs: 2_000, graceMs: random() * 500 }));
    } else if (chance < 0.435) {
      for (const replica of simulation.replicas) replica.kill(false);
    } else {
      await simulation.step();
    }
  }
  await settle(simulation, checker);
  return checker;
};

describe('Replicator under simulation', function () {
  this.timeout(Number(process.env['SIMULATION_TIMEOUT'] ?? 60_000));
  const seeds = Number(process.env['SIMULATION_SEEDS'] ?? 12);
  const first = Number(process.env['SIMULATION_FIRST_SEED'] ?? 1);
  const steps = Number(process.env['SIMULATION_STEPS'] ?? 1500);

  it('loses no acknowledged write and reads nothing stale while anything dies at any moment', async () => {
    let acknowledged = 0;
    for (let seed = first; seed < first + seeds; seed++) {
      try {
        acknowledged += (await run(seed, steps)).acknowledged;
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
    }
    expect(acknowledged).to.be.greaterThan(seeds * 20);
  });
});
