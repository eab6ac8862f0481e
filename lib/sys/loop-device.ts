import { closeSync, constants, existsSync, fstatSync, openSync, readdirSync } from 'node:fs';
import { AT_FDCWD, mknodAt, openAt } from './files.js';
import { isErrno, lastErrno, syscallError } from './errno.js';
import { ioctl } from './ioctl.js';
import * as libc from './libc.js';

/** Loop devices by ioctl (linux/loop.h): a file as a block device. */

const LOOP_MAJOR = 7;
const LOOP_CTL_GET_FREE = 0x4c82;
const LOOP_CONFIGURE = { name: 'LOOP_CONFIGURE', number: 0x4c0a };
const LOOP_GET_STATUS64 = { name: 'LOOP_GET_STATUS64', number: 0x4c05 };
const LO_FLAGS_AUTOCLEAR = 4;
const LO_FLAGS_DIRECT_IO = 16;
const ATTEMPTS = 50;

/** A loop device. It is detached when `fd` is closed and nothing has it mounted. The caller closes `fd`. */
export interface LoopDevice {
  readonly fd: number;
  /** `/dev/loopN`. */
  readonly path: string;
}

/** Attaches `file` (an open read-write descriptor) to a free loop device. Throws SyscallError. */
export function attachLoop(file: number, options: { readonly directIo: boolean }): LoopDevice {
  const control = openAt(AT_FDCWD, '/dev/loop-control', constants.O_RDWR);
  try {
    for (let attempt = 1; ; attempt++) {
      const number = libc.ioctl(control, LOOP_CTL_GET_FREE, null);
      if (number < 0) throw syscallError('LOOP_CTL_GET_FREE', '/dev/loop-control', lastErrno());
      const device = openLoop(number);
      try {
        configure(device.fd, file, options.directIo);
        return device;
      } catch (error) {
        closeSync(device.fd);
        // Another process has taken that device meanwhile.
        if (!isErrno(error, 'EBUSY') || attempt === ATTEMPTS) throw error;
      }
    }
  } finally {
    closeSync(control);
  }
}

/** The loop device to which any process has attached `file`, or undefined. */
export function findLoop(file: number): LoopDevice | undefined {
  const wanted = fstatSync(file, { bigint: true });
  for (const name of readdirSync('/sys/block')) {
    const match = /^loop(\d+)$/.exec(name);
    if (match === null || !existsSync(`/sys/block/${name}/loop/backing_file`)) continue;
    const device = openLoop(Number(match[1]));
    if (isBackedBy(device.fd, wanted)) return device;
    closeSync(device.fd);
  }
  return undefined;
}

function isBackedBy(device: number, wanted: { readonly dev: bigint; readonly ino: bigint }): boolean {
  const info = Buffer.alloc(232);
  try {
    ioctl(device, LOOP_GET_STATUS64, info);
  } catch (error) {
    if (isErrno(error, 'ENXIO')) return false;
    throw error;
  }
  return info.readBigUInt64LE(0) === kernelDevice(wanted.dev) && info.readBigUInt64LE(8) === wanted.ino;
}

/** struct loop_info64 contains the kernel's huge_encode_dev, which equals glibc's dev_t for all numbers below 2^32. */
function kernelDevice(device: bigint): bigint {
  return device & 0xffff_ffffn;
}

function openLoop(number: number): LoopDevice {
  const path = `/dev/loop${number}`;
  try {
    // In containers /dev may lack the node of an existing device.
    if (!existsSync(path)) mknodAt(AT_FDCWD, path, constants.S_IFBLK | 0o600, LOOP_MAJOR, number);
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
  }
  return { fd: openSync(path, constants.O_RDWR), path };
}

function configure(device: number, file: number, directIo: boolean): void {
  // struct loop_config: fd, block_size, struct loop_info64 (lo_flags at its offset 52), reserved.
  const config = Buffer.alloc(304);
  config.writeUInt32LE(file, 0);
  config.writeUInt32LE(directIo ? 4096 : 0, 4);
  config.writeUInt32LE(LO_FLAGS_AUTOCLEAR | (directIo ? LO_FLAGS_DIRECT_IO : 0), 8 + 52);
  ioctl(device, LOOP_CONFIGURE, config);
}
