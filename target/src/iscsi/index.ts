/** The iSCSI front end: RFC 7143 on one side, a DeviceServer on the other. */
export type { AdvertisedPortal, IscsiClock, IscsiLog } from './context.ts';
export type { IscsiCounters } from './counters.ts';
export type { ChapCredentials, ChapSettings } from './login/chap.ts';
export type { LoginAuthentication, LoginRedirect } from './login/login.ts';
export {
  createIscsiServer,
  type IscsiServer,
  type IscsiServerSettings,
  type IscsiServerOptions,
  type IscsiSessionInfo,
  type ListenPortal,
} from './server.ts';
