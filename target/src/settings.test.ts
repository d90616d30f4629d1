import { expect } from 'chai';
import { MemoryVolume } from './memory-volume.ts';
import { describeSettings, SettingsError, SettingsKeeper, type Settings } from './settings.ts';
import { VolumeError } from './volume.ts';

const ALICE = { initiator: { user: 'alice', secret: 'alices-secret' }, target: null };
const BOB = {
  initiator: { user: 'bob', secret: 'bobs-secret-12' },
  target: { user: 'volume', secret: 'volumes-secret' },
};

describe('the settings that replicas keep', () => {
  const ignore = (): void => undefined;

  it('are none at first, and what is given at a start is kept for the next', async () => {
    const volume = new MemoryVolume(1024 ** 2, 'origin');
    expect(await new SettingsKeeper(volume, ignore).restore({})).to.deep.equal({
      chap: null,
      portals: [],
      rebuildBytesPerSecond: null,
    });
    expect(await volume.readDocument('settings')).to.equal(null);
    const first = { chap: BOB, portals: ['192.0.2.1:3260'], rebuildBytesPerSecond: 4096 };
    await new SettingsKeeper(volume, ignore).restore(first);
    const later = new SettingsKeeper(volume, ignore);
    expect(await later.restore({})).to.deep.equal(first);
    const overridden = new SettingsKeeper(volume, ignore);
    const given = await overridden.restore({ chap: ALICE });
    expect(given).to.deep.equal({ ...first, chap: ALICE });
    expect(await later.restore({})).to.deep.equal(given);
  });

  it('change one after the other, each for logins to come when it is durable', async () => {
    const volume = new MemoryVolume(1024 ** 2, 'origin');
    const seen: Settings[] = [];
    const keeper = new SettingsKeeper(volume, (settings) => seen.push(settings));
    await keeper.restore({});
    await Promise.all([keeper.change({ chap: ALICE }), keeper.change({ portals: ['[::1]:1'] })]);
    const rebuildBytesPerSecond = null;
    expect(seen).to.deep.equal([
      { chap: ALICE, portals: [], rebuildBytesPerSecond },
      { chap: ALICE, portals: ['[::1]:1'], rebuildBytesPerSecond },
    ]);
    volume.failNext(new VolumeError('NOT_READY', 'no majority'));
    const failed = await keeper.change({ chap: null }).catch((error: unknown) => error);
    expect(failed).to.be.an('error');
    expect(keeper.settings?.chap).to.deep.equal(ALICE);
    expect(seen).to.have.length(2);
  });

  it('of a clone demand the same proof as its origin, at portals of its own', async () => {
    const origin = new MemoryVolume(1024 ** 2, 'origin');
    await new SettingsKeeper(origin, ignore).restore({ chap: BOB, portals: ['192.0.2.1:3260'] });
    const clone = new MemoryVolume(1024 ** 2, 'clone');
    const content = await origin.readDocument('settings');
    await clone.writeDocument('settings', content ?? new Uint8Array());
    expect(await new SettingsKeeper(clone, ignore).restore({})).to.deep.equal({
      chap: BOB,
      portals: [],
      rebuildBytesPerSecond: null,
    });
  });

  it('are the first ones that are given until the volume has kept some of its own', async () => {
    const origin = new MemoryVolume(1024 ** 2, 'origin');
    const portals = ['192.0.2.1:3260'];
    const keeper = new SettingsKeeper(origin, ignore);
    expect((await keeper.restore({ portals }, { chap: ALICE })).chap).to.deep.equal(ALICE);
    await keeper.change({ chap: BOB });
    const again = new SettingsKeeper(origin, ignore);
    expect((await again.restore({ portals }, { chap: ALICE })).chap).to.deep.equal(BOB);
    await again.change({ chap: null });
    expect((await again.restore({ portals }, { chap: ALICE })).chap).to.equal(null);
    const clone = new MemoryVolume(1024 ** 2, 'clone');
    await clone.writeDocument('settings', (await origin.readDocument('settings'))!);
    const ofClone = new SettingsKeeper(clone, ignore);
    expect((await ofClone.restore({}, { chap: ALICE })).chap, 'a clone').to.deep.equal(ALICE);
    expect((await ofClone.restore({}, { chap: BOB })).chap, 'a clone').to.deep.equal(ALICE);
  });

  it('that cannot be understood are not taken for none', async () => {
    for (const text of [
      '',
      'null',
      '{"version":2}',
      '{"version":1,"chap":{},"portals":[]}',
      '{"version":1,"chap":{"user":"a","secret":"short"},"portals":[]}',
      '{"version":1,"portals":[]}',
      '{"version":1,"chap":null,"portals":[7]}',
      '{"version":1,"chap":null,"portals":[],"rebuildBytesPerSecond":0}',
    ]) {
      const volume = new MemoryVolume(1024 ** 2, 'origin');
      await volume.writeDocument('settings', Buffer.from(text));
      const error = await new SettingsKeeper(volume, ignore).restore({}).catch((e: unknown) => e);
      expect(error, text).to.be.instanceOf(SettingsError);
    }
  });

  it('are told without the secrets', () => {
    const text = JSON.stringify(
      describeSettings({ chap: BOB, portals: [], rebuildBytesPerSecond: null }),
    );
    expect(text).to.include('bob').and.to.include('"mutualUser":"volume"');
    expect(text).not.to.include('secret');
  });
});
