/**
 * The basic header segments of RFC 7143 11: one table per PDU, each field as [offset, length in
 * bytes]. All PDUs are big-endian and start with 48 bytes.
 */

export const BHS_BYTES = 48;
/** TotalAHSLength counts words of four bytes in one byte. RFC 7143 11.2.1.5 */
export const MAX_AHS_BYTES = 255 * 4;
export const DIGEST_BYTES = 4;

/** Means "none" in ITT and TTT. */
export const RESERVED_TAG = 0xffffffff;

/** RFC 7143 11.2.1.2 */
export const Opcode = {
  nopOut: 0x00,
  scsiCommand: 0x01,
  taskManagementRequest: 0x02,
  loginRequest: 0x03,
  textRequest: 0x04,
  dataOut: 0x05,
  logoutRequest: 0x06,
  snackRequest: 0x10,
  nopIn: 0x20,
  scsiResponse: 0x21,
  taskManagementResponse: 0x22,
  loginResponse: 0x23,
  textResponse: 0x24,
  dataIn: 0x25,
  logoutResponse: 0x26,
  readyToTransfer: 0x31,
  asyncMessage: 0x32,
  reject: 0x3f,
} as const;

/** Byte 0. */
export const OPCODE_MASK = 0x3f;
export const IMMEDIATE_BIT = 0x40;

/** Byte 1, where the meaning is shared. */
export const FINAL_BIT = 0x80;
export const CONTINUE_BIT = 0x40;
/** Login: the T bit. */
export const TRANSIT_BIT = 0x80;
/** SCSI Command. RFC 7143 11.3.1 */
export const READ_BIT = 0x40;
export const WRITE_BIT = 0x20;
export const ATTRIBUTE_MASK = 0x07;
/** Data-In and SCSI Response. RFC 7143 11.7.3, 11.4.1 */
export const STATUS_BIT = 0x01;
export const UNDERFLOW_BIT = 0x02;
export const OVERFLOW_BIT = 0x04;
export const BIDI_UNDERFLOW_BIT = 0x08;
export const BIDI_OVERFLOW_BIT = 0x10;

/** RFC 7143 11.17.1 */
export const RejectReason = {
  dataDigestError: 0x02,
  snackReject: 0x03,
  protocolError: 0x04,
  commandNotSupported: 0x05,
  immediateCommandReject: 0x06,
  taskInProgress: 0x07,
  invalidDataAck: 0x08,
  invalidPduField: 0x09,
  longOperationReject: 0x0a,
  negotiationReset: 0x0b,
  waitingForLogout: 0x0c,
} as const;
export type RejectReason = (typeof RejectReason)[keyof typeof RejectReason];

/** RFC 7143 11.6.1 */
export const TaskManagementResponse = {
  functionComplete: 0,
  taskDoesNotExist: 1,
  lunDoesNotExist: 2,
  taskStillAllegiant: 3,
  reassignNotSupported: 4,
  functionNotSupported: 5,
  authorizationFailed: 6,
  functionRejected: 255,
} as const;
export type TaskManagementResponse =
  (typeof TaskManagementResponse)[keyof typeof TaskManagementResponse];

/** RFC 7143 11.5.1 */
export const TaskManagementCode = {
  abortTask: 1,
  abortTaskSet: 2,
  clearAca: 3,
  clearTaskSet: 4,
  logicalUnitReset: 5,
  targetWarmReset: 6,
  targetColdReset: 7,
  taskReassign: 8,
} as const;

/** RFC 7143 11.9.1 */
export const AsyncEvent = {
  scsi: 0,
  requestLogout: 1,
  dropConnection: 2,
  dropSession: 3,
  renegotiate: 4,
} as const;
export type AsyncEvent = (typeof AsyncEvent)[keyof typeof AsyncEvent];

export type FieldTable = Readonly<Record<string, readonly [offset: number, bytes: number]>>;

const common = { opcode: [0, 1], flags: [1, 1], ahsWords: [4, 1], dataBytes: [5, 3] } as const;

/** RFC 7143 11.3 */
export const ScsiCommandFields = {
  ...common,
  reserved2: [2, 2],
  lun: [8, 8],
  initiatorTaskTag: [16, 4],
  expectedBytes: [20, 4],
  cmdSn: [24, 4],
  expStatSn: [28, 4],
  cdb: [32, 16],
} as const satisfies FieldTable;

/** RFC 7143 11.4 */
export const ScsiResponseFields = {
  ...common,
  response: [2, 1],
  status: [3, 1],
  reserved8: [8, 8],
  initiatorTaskTag: [16, 4],
  snackTag: [20, 4],
  statSn: [24, 4],
  expCmdSn: [28, 4],
  maxCmdSn: [32, 4],
  expDataSn: [36, 4],
  bidiResidual: [40, 4],
  residual: [44, 4],
} as const satisfies FieldTable;

/** RFC 7143 11.5 */
export const TaskManagementRequestFields = {
  ...common,
  reserved2: [2, 2],
  lun: [8, 8],
  initiatorTaskTag: [16, 4],
  referencedTaskTag: [20, 4],
  cmdSn: [24, 4],
  expStatSn: [28, 4],
  refCmdSn: [32, 4],
  expDataSn: [36, 4],
  reserved40: [40, 8],
} as const satisfies FieldTable;

/** RFC 7143 11.6 */
export const TaskManagementResponseFields = {
  ...common,
  response: [2, 1],
  reserved3: [3, 1],
  reserved8: [8, 8],
  initiatorTaskTag: [16, 4],
  reserved20: [20, 4],
  statSn: [24, 4],
  expCmdSn: [28, 4],
  maxCmdSn: [32, 4],
  reserved36: [36, 12],
} as const satisfies FieldTable;

/** RFC 7143 11.7 */
export const DataOutFields = {
  ...common,
  reserved2: [2, 2],
  lun: [8, 8],
  initiatorTaskTag: [16, 4],
  targetTransferTag: [20, 4],
  reserved24: [24, 4],
  expStatSn: [28, 4],
  reserved32: [32, 4],
  dataSn: [36, 4],
  bufferOffset: [40, 4],
  reserved44: [44, 4],
} as const satisfies FieldTable;

/** RFC 7143 11.7 */
export const DataInFields = {
  ...common,
  reserved2: [2, 1],
  status: [3, 1],
  lun: [8, 8],
  initiatorTaskTag: [16, 4],
  targetTransferTag: [20, 4],
  statSn: [24, 4],
  expCmdSn: [28, 4],
  maxCmdSn: [32, 4],
  dataSn: [36, 4],
  bufferOffset: [40, 4],
  residual: [44, 4],
} as const satisfies FieldTable;

/** RFC 7143 11.8 */
export const ReadyToTransferFields = {
  ...common,
  reserved2: [2, 2],
  lun: [8, 8],
  initiatorTaskTag: [16, 4],
  targetTransferTag: [20, 4],
  statSn: [24, 4],
  expCmdSn: [28, 4],
  maxCmdSn: [32, 4],
  r2tSn: [36, 4],
  bufferOffset: [40, 4],
  desiredBytes: [44, 4],
} as const satisfies FieldTable;

/** RFC 7143 11.9 */
export const AsyncMessageFields = {
  ...common,
  reserved2: [2, 2],
  lun: [8, 8],
  reserved16: [16, 4],
  reserved20: [20, 4],
  statSn: [24, 4],
  expCmdSn: [28, 4],
  maxCmdSn: [32, 4],
  event: [36, 1],
  vendorCode: [37, 1],
  parameter1: [38, 2],
  parameter2: [40, 2],
  parameter3: [42, 2],
  reserved44: [44, 4],
} as const satisfies FieldTable;

/** RFC 7143 11.10 */
export const TextRequestFields = {
  ...common,
  reserved2: [2, 2],
  lun: [8, 8],
  initiatorTaskTag: [16, 4],
  targetTransferTag: [20, 4],
  cmdSn: [24, 4],
  expStatSn: [28, 4],
  reserved32: [32, 16],
} as const satisfies FieldTable;

/** RFC 7143 11.11 */
export const TextResponseFields = {
  ...common,
  reserved2: [2, 2],
  lun: [8, 8],
  initiatorTaskTag: [16, 4],
  targetTransferTag: [20, 4],
  statSn: [24, 4],
  expCmdSn: [28, 4],
  maxCmdSn: [32, 4],
  reserved36: [36, 12],
} as const satisfies FieldTable;

/** RFC 7143 11.12 */
export const LoginRequestFields = {
  ...common,
  versionMax: [2, 1],
  versionMin: [3, 1],
  isid: [8, 6],
  tsih: [14, 2],
  initiatorTaskTag: [16, 4],
  cid: [20, 2],
  reserved22: [22, 2],
  cmdSn: [24, 4],
  expStatSn: [28, 4],
  reserved32: [32, 16],
} as const satisfies FieldTable;

/** RFC 7143 11.13 */
export const LoginResponseFields = {
  ...common,
  versionMax: [2, 1],
  versionActive: [3, 1],
  isid: [8, 6],
  tsih: [14, 2],
  initiatorTaskTag: [16, 4],
  reserved20: [20, 4],
  statSn: [24, 4],
  expCmdSn: [28, 4],
  maxCmdSn: [32, 4],
  statusClass: [36, 1],
  statusDetail: [37, 1],
  reserved38: [38, 10],
} as const satisfies FieldTable;

/** RFC 7143 11.14 */
export const LogoutRequestFields = {
  ...common,
  reserved2: [2, 2],
  reserved8: [8, 8],
  initiatorTaskTag: [16, 4],
  cid: [20, 2],
  reserved22: [22, 2],
  cmdSn: [24, 4],
  expStatSn: [28, 4],
  reserved32: [32, 16],
} as const satisfies FieldTable;

/** RFC 7143 11.15 */
export const LogoutResponseFields = {
  ...common,
  response: [2, 1],
  reserved3: [3, 1],
  reserved8: [8, 8],
  initiatorTaskTag: [16, 4],
  reserved20: [20, 4],
  statSn: [24, 4],
  expCmdSn: [28, 4],
  maxCmdSn: [32, 4],
  reserved36: [36, 4],
  time2Wait: [40, 2],
  time2Retain: [42, 2],
  reserved44: [44, 4],
} as const satisfies FieldTable;

/** RFC 7143 11.17 */
export const RejectFields = {
  ...common,
  reason: [2, 1],
  reserved3: [3, 1],
  reserved8: [8, 8],
  initiatorTaskTag: [16, 4],
  reserved20: [20, 4],
  statSn: [24, 4],
  expCmdSn: [28, 4],
  maxCmdSn: [32, 4],
  dataSn: [36, 4],
  reserved40: [40, 8],
} as const satisfies FieldTable;

/** RFC 7143 11.18 */
export const NopOutFields = {
  ...common,
  reserved2: [2, 2],
  lun: [8, 8],
  initiatorTaskTag: [16, 4],
  targetTransferTag: [20, 4],
  cmdSn: [24, 4],
  expStatSn: [28, 4],
  reserved32: [32, 16],
} as const satisfies FieldTable;

/** RFC 7143 11.19 */
export const NopInFields = {
  ...common,
  reserved2: [2, 2],
  lun: [8, 8],
  initiatorTaskTag: [16, 4],
  targetTransferTag: [20, 4],
  statSn: [24, 4],
  expCmdSn: [28, 4],
  maxCmdSn: [32, 4],
  reserved36: [36, 12],
} as const satisfies FieldTable;
