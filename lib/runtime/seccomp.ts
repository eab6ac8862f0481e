import { existsSync } from 'node:fs';
import { IOCTL_REQUESTS, SOCKET_FAMILIES, type ArgumentRules, type SeccompCondition } from './seccomp-arguments.js';

/** System calls without effect outside the container (moby, profiles/seccomp). Each architecture has some of them. */
const ALLOWED = `
  _llseek _newselect accept accept4 access adjtimex alarm arch_prctl arm_fadvise64_64 arm_sync_file_range bind
  breakpoint brk cacheflush cachestat capget capset chdir chmod chown chown32 clock_adjtime clock_adjtime64
  clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close
  close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old
  epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat
  faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32
  fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64
  fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake
  futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32
  getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom
  getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday
  getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel
  io_destroy io_getevents io_pgetevents io_setup io_submit ioprio_get ioprio_set ipc kill landlock_add_rule
  landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listxattr listxattrat
  llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create
  memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 modify_ldt mprotect
  mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink
  mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat
  open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll
  ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev pselect6
  pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead readdir readlink readlinkat readv recv recvfrom
  recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2
  restart_syscall riscv_flush_icache rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
  rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo s390_pci_mmio_read
  s390_pci_mmio_write s390_runtime_instr sched_get_priority_max sched_get_priority_min sched_getaffinity
  sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
  sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop
  semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area
  set_tid_address set_tls setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer
  setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit
  setsid setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaction sigaltstack
  signal signalfd signalfd4 sigpending sigprocmask sigreturn sigsuspend socketcall socketpair splice stat stat64
  statfs statfs64 statx symlink symlinkat sync sync_file_range sync_file_range2 syncfs syscall sysinfo tee tgkill
  time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
  timerfd timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate
  truncate64 ugetrlimit umask uname unlink unlinkat utime utimensat utimensat_time64 utimes vfork wait4 waitid
  waitpid write writev
`;

/** System calls that reach outside the container or into rarely used parts of the kernel. */
const REFUSED = `
  acct add_key bdflush bpf clock_settime clock_settime64 delete_module fanotify_init finit_module fsconfig fsmount
  fsopen fspick get_mempolicy init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp
  kexec_file_load kexec_load keyctl lookup_dcookie mbind migrate_pages mount mount_setattr move_mount move_pages
  nfsservctl open_by_handle_at open_tree pciconfig_iobase pciconfig_read pciconfig_write perf_event_open pidfd_getfd
  pivot_root process_madvise query_module quotactl quotactl_fd reboot request_key set_mempolicy
  set_mempolicy_home_node setdomainname sethostname setns settimeofday sgetmask ssetmask stime swapcontext swapoff
  swapon sysfs syslog umount umount2 unshare uselib userfaultfd ustat vhangup vm86 vm86old vmsplice
`;

/** System calls that Docker also allows to containers with a capability (moby, profiles/seccomp). */
const ALLOWED_WITH: Readonly<Record<string, string>> = {
  CAP_BPF: 'bpf',
  CAP_DAC_READ_SEARCH: 'open_by_handle_at',
  CAP_PERFMON: 'perf_event_open',
  CAP_SYS_ADMIN: `bpf fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount open_tree
    perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare`,
  CAP_SYS_BOOT: 'reboot',
  CAP_SYS_CHROOT: 'chroot',
  CAP_SYS_MODULE: 'delete_module finit_module init_module',
  CAP_SYS_NICE: 'get_mempolicy mbind set_mempolicy set_mempolicy_home_node',
  CAP_SYS_PACCT: 'acct',
  CAP_SYS_PTRACE: 'kcmp pidfd_getfd process_madvise',
  CAP_SYS_RAWIO: 'ioperm iopl',
  CAP_SYS_TIME: 'clock_settime clock_settime64 settimeofday stime',
  CAP_SYS_TTY_CONFIG: 'vhangup',
  CAP_SYSLOG: 'syslog',
};

/** Execution domains that change only the address layout or the reported version (sys/personality.h). */
const PERSONALITIES = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/** Flags of clone(2) that create namespaces: cgroup, mount, UTS, IPC, user, PID, network (linux/sched.h). */
const NAMESPACE_FLAGS = [0x200_0000, 0x2_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];

const EPERM = 1;
const ENOSYS = 38;

/** The architecture of a machine, and the older ones whose programs it also runs. */
const ARCHITECTURES: Readonly<Partial<Record<NodeJS.Architecture, readonly string[]>>> = {
  x64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  arm64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
  s390x: ['SCMP_ARCH_S390X', 'SCMP_ARCH_S390'],
};

/** A rule of the runtime specification (runtime-spec config-linux.md, "Seccomp"). */
export interface SeccompRule {
  readonly names: readonly string[];
  readonly action: `SCMP_ACT_${string}`;
  readonly errnoRet?: number;
  readonly args?: readonly SeccompCondition[];
}

/** A filter of system calls (runtime-spec config-linux.md, "Seccomp"). */
export interface SeccompFilter {
  readonly defaultAction: `SCMP_ACT_${string}`;
  readonly defaultErrnoRet?: number;
  readonly architectures?: readonly string[];
  readonly flags?: readonly string[];
  readonly syscalls: readonly SeccompRule[];
}

/** True when this kernel can filter system calls. */
export function canFilterSystemCalls(): boolean {
  return existsSync('/proc/sys/kernel/seccomp/actions_avail');
}

/**
 * Docker's default filter for a container with `capabilities`. Refused calls fail with EPERM; unknown calls fail with
 * ENOSYS, so that a newer C library falls back to an older one.
 */
export function defaultSeccomp(capabilities: readonly string[]): SeccompFilter {
  const architectures = ARCHITECTURES[process.arch];
  // On s390, the stack is the first argument.
  const index = process.arch === 's390x' ? 1 : 0;
  const allowed = new Set(capabilities.flatMap((name) => wordsOf(ALLOWED_WITH[name] ?? '')));
  const refused = [...wordsOf(REFUSED), 'chroot'].filter((name) => !allowed.has(name));
  const allNamespaces = NAMESPACE_FLAGS.reduce((sum, flag) => sum + flag, 0);
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: ENOSYS,
    ...(architectures === undefined ? {} : { architectures }),
    syscalls: [
      allow([...wordsOf(ALLOWED), ...allowed]),
      refuse(refused),
      ...byArguments('socket', SOCKET_FAMILIES),
      ...byArguments('ioctl', IOCTL_REQUESTS),
      ...PERSONALITIES.map((value) => allow(['personality'], [{ index: 0, value, op: 'SCMP_CMP_EQ' }])),
      ...(capabilities.includes('CAP_SYS_ADMIN')
        ? [allow(['clone', 'clone3'])]
        : [
            allow(['clone'], [{ index, value: allNamespaces, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }]),
            ...NAMESPACE_FLAGS.map((flag) =>
              refuse(['clone'], [{ index, value: flag, valueTwo: flag, op: 'SCMP_CMP_MASKED_EQ' }]),
            ),
          ]),
    ],
  };
}

function byArguments(name: string, { allowed, refused }: ArgumentRules): SeccompRule[] {
  return [
    ...allowed.map((condition) => allow([name], [condition])),
    ...refused.map((condition) => refuse([name], [condition])),
  ];
}

function allow(names: readonly string[], args?: SeccompRule['args']): SeccompRule {
  return { names, action: 'SCMP_ACT_ALLOW', ...(args === undefined ? {} : { args }) };
}

function refuse(names: readonly string[], args?: SeccompRule['args']): SeccompRule {
  return { names, action: 'SCMP_ACT_ERRNO', errnoRet: EPERM, ...(args === undefined ? {} : { args }) };
}

function wordsOf(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}
