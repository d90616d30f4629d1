export { createDeviceServer } from './device-server.ts';
export type { UnitLog, UnitOptions } from './logical-unit.ts';
