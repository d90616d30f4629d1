/**
 * Goal: a member that comes back gets the layers that it lacks from a copy that knows what they
 * hold. Method: simulated replicas with the real store; rot is planted behind its back.
 */
import { expect } from 'chai';
import { PAGE_LAYOUT } from '../../../replica/src/store/extent-page.ts';
import { SimulatedDisk } from '../../../replica/src/store/simulated-disk.ts';
import { operation, Simulation, type SimulatedTarget } from './simulation.test-support.ts';

const MIB = 1024 * 1024;
const BLOCK = 4096;
const AT = '2026-01-01T00:00:00.000Z';
/** What the second layer does is hide a block of the first one. */
const LAYER = 2;

class Scene {
  readonly simulation = new Simulation(5, { replicas: 3, sizeBytes: 4 * MIB });
  target!: SimulatedTarget;

  async begin(): Promise<void> {
    for (const replica of this.simulation.replicas) await replica.start();
    this.target = this.simulation.target();
    await this.healthy();
    await this.io('write', Buffer.alloc(BLOCK, 7));
    await this.snapshot('first');
    await this.io('unmap', Buffer.alloc(BLOCK));
    await this.snapshot('second');
    await this.simulation.runFor(60_000);
  }

  async healthy(withinMs = 60_000): Promise<void> {
    const isHealthy = (): boolean => this.simulation.healthy(this.target);
    const log = (): string => this.simulation.log.slice(-8).join('\n');
    expect(await this.simulation.runUntil(isHealthy, withinMs), log()).to.equal(true);
  }

  async io(kind: 'write' | 'unmap', content: Buffer): Promise<void> {
    let answered = false;
    this.target.replicator.submit(
      operation(kind, BLOCK, BLOCK, kind === 'write' ? [content] : [], (error) => {
        expect(error).to.equal(null);
        answered = true;
      }),
    );
    expect(await this.simulation.runUntil(() => answered, 10_000)).to.equal(true);
  }

  async snapshot(name: string): Promise<void> {
    let made = false;
    void this.target.replicator.assembly.layers.snapshot(name, AT).then(() => (made = true));
    expect(await this.simulation.runUntil(() => made, 10_000)).to.equal(true);
  }

  rot(index: number): void {
    const file = this.simulation.replicas[index]!.disk.open('000002.meta');
    file.write(Uint8Array.of(0xba, 0xad), PAGE_LAYOUT.hidden.offset);
  }

  async empty(index: number): Promise<void> {
    const replica = this.simulation.replicas[index]!;
    replica.kill(false);
    const isLost = (): boolean => !this.simulation.healthy(this.target);
    expect(await this.simulation.runUntil(isLost, 10_000)).to.equal(true);
    replica.disk = new SimulatedDisk(() => this.simulation.random());
    await replica.start();
  }

  holdings(index: number): string {
    const { store } = this.simulation.replicas[index]!;
    return Buffer.from(store.layerAllocation(LAYER, 0, 4 * MIB)).toString('hex');
  }
}

describe('the layers of a member that comes back', () => {
  it('are copied from another one where the first does not know what it holds', async () => {
    for (const rotten of [0, 1]) {
      const here = new Scene();
      await here.begin();
      const good = here.holdings(2);
      expect(good, 'something is hidden').to.match(/[^0]/);
      here.rot(rotten);
      await here.empty(2);
      await here.healthy();
      expect(here.holdings(2)).to.equal(good);
    }
  });

  it('are not made up where nobody knows them: it stays away', async () => {
    const here = new Scene();
    await here.begin();
    here.rot(0);
    here.rot(1);
    await here.empty(2);
    await here.simulation.runFor(60_000);
    expect(here.simulation.healthy(here.target)).to.equal(false);
    expect(here.simulation.log.join('\n')).to.match(/checksums of extent 0 of layer 2 are damaged/);
  });
});
