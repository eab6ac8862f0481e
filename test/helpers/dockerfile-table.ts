/** Dockerfiles that imgtool and buildah both build: the results are compared. */

/** One Dockerfile. `FROM base` is busybox with users root and app. */
export interface DockerfileRow {
  readonly title: string;
  readonly dockerfile: string;
  readonly args?: readonly string[];
  /** What buildah 1.28 does otherwise than BuildKit, which counts; the part is not compared. */
  readonly differs?: { readonly tree?: string; readonly config?: string; readonly history?: string };
}

/** Files of the context of every row: path → content; `->` makes a link, `!x` a file to execute, a slash at the end a directory. */
export const CONTEXT: Readonly<Record<string, string>> = {
  a: 'a\n',
  b: 'b\n',
  run: '!x#!/bin/sh\necho run\n',
  'd/one': '1\n',
  'd/two': '2\n',
  'd/e/three': '3\n',
  'd/link': '->one',
  'd/.hidden': 'h\n',
  'd/md.md': 'md\n',
  'skip/me': 'skipped\n',
  'skip/kept': 'kept\n',
  'sp ace': 'blank\n',
  'empty/': '',
  '.dockerignore': 'skip/*\n!skip/kept\n**/*.md\n',
};

const row = (
  title: string,
  dockerfile: string,
  more: Omit<DockerfileRow, 'title' | 'dockerfile'> = {},
): DockerfileRow => ({ title, dockerfile: `${dockerfile}\n`, ...more });

export const ROWS: readonly DockerfileRow[] = [
  row('a file', 'FROM scratch\nCOPY a /a'),
  row('a file into a new directory', 'FROM scratch\nCOPY a /new/'),
  row('two files', 'FROM scratch\nCOPY a b /ab/'),
  row('a directory: its contents', 'FROM scratch\nCOPY d /d'),
  row('a directory with a slash', 'FROM scratch\nCOPY d/ /d/'),
  row('all, without what is ignored', 'FROM scratch\nCOPY . /all'),
  row('a directory with nothing in it', 'FROM scratch\nCOPY empty /empty/'),
  row('a glob', 'FROM scratch\nCOPY d/t* /t/'),
  row('a glob with a question mark', 'FROM scratch\nCOPY ? /q/'),
  row('a name with a blank', 'FROM scratch\nCOPY ["sp ace", "/s p/"]'),
  row('COPY in a WORKDIR', 'FROM scratch\nWORKDIR /w\nCOPY a .'),
  row('COPY to a relative directory', 'FROM scratch\nWORKDIR /w\nCOPY a b sub/'),
  row('relative WORKDIRs', 'FROM scratch\nWORKDIR /a\nWORKDIR b\nWORKDIR ../c\nCOPY a .'),
  row('--chown numbers', 'FROM scratch\nCOPY --chown=12:34 d /d'),
  row('--chown a name', 'FROM base\nCOPY --chown=app a /srv/'),
  row('--chown name and group', 'FROM base\nCOPY --chown=app:root a /srv/'),
  row('--chmod', 'FROM scratch\nCOPY --chmod=751 a /x/a'),
  row('--chmod of a directory', 'FROM scratch\nCOPY --chmod=700 d /d'),
  // Of another size: buildah overlooks a change that keeps size and time.
  row('a file over a file', 'FROM scratch\nCOPY a /x\nCOPY run /x'),
  row('a directory into one that is there', 'FROM scratch\nCOPY a /d/zero\nCOPY d /d'),
  row('a mode to execute stays', 'FROM scratch\nCOPY run /run'),
  row('ADD a file', 'FROM scratch\nADD a /x/'),
  row('ADD a directory', 'FROM scratch\nADD d /d/'),
  row('ENV in COPY', 'FROM scratch\nENV to=/e\nCOPY a ${to}/'),
  row('ARG in COPY', 'FROM scratch\nARG from=b\nCOPY $from /x'),
  row('ARG by --build-arg', 'FROM scratch\nARG from=b\nCOPY $from /x', { args: ['--build-arg', 'from=a'] }),
  row('a default for what is not set', 'FROM scratch\nCOPY ${none:-a} /x'),
  row('another value for what is set', 'FROM scratch\nENV A=1\nCOPY ${A:+b} /x'),
  row('ENV old form', 'FROM scratch\nENV A one two\nCOPY a /'),
  row('ENV several', 'FROM scratch\nENV A=1 B="two words" C=a\\ b\nCOPY a /'),
  row('ENV uses what was before', 'FROM scratch\nENV A=1\nENV A=2 B=$A\nCOPY a /'),
  row('ENV of the base stays', 'FROM base\nENV X=1\nCOPY a /'),
  row('ENV wins over ARG', 'FROM scratch\nARG A=1\nENV A=2\nLABEL a=$A\nCOPY a /'),
  row('LABELs', 'FROM scratch\nLABEL a=1 "b c"="d e"\nLABEL a=2\nCOPY a /'),
  row('EXPOSE', 'FROM scratch\nEXPOSE 80 53/udp\nCOPY a /'),
  row('VOLUME', 'FROM scratch\nVOLUME /v ["/w"]\nCOPY a /'),
  row('VOLUME as a list', 'FROM scratch\nVOLUME ["/v", "/w"]\nCOPY a /'),
  row('USER', 'FROM scratch\nUSER 12:34\nCOPY a /'),
  row('STOPSIGNAL', 'FROM scratch\nSTOPSIGNAL SIGINT\nCOPY a /'),
  row('CMD as a list', 'FROM scratch\nCMD ["a", "b c"]\nCOPY a /'),
  row('CMD for the shell', 'FROM scratch\nCMD a $b\nCOPY a /'),
  row('ENTRYPOINT and CMD', 'FROM scratch\nENTRYPOINT ["e"]\nCMD ["c"]\nCOPY a /'),
  row('CMD, then ENTRYPOINT', 'FROM scratch\nCMD ["c"]\nENTRYPOINT ["e"]\nCOPY a /'),
  row('ENTRYPOINT drops the CMD of the base', 'FROM base\nENTRYPOINT ["e"]\nCOPY a /'),
  row('SHELL', 'FROM scratch\nSHELL ["/bin/ash", "-ec"]\nCMD a\nCOPY a /', {
    differs: { config: 'buildah gives CMD to /bin/sh whatever SHELL says' },
  }),
  row('HEALTHCHECK', 'FROM scratch\nHEALTHCHECK --interval=5s --retries=2 CMD ["/x"]\nCOPY a /'),
  row('HEALTHCHECK for the shell', 'FROM scratch\nHEALTHCHECK --timeout=1m CMD x y\nCOPY a /'),
  row('HEALTHCHECK NONE', 'FROM scratch\nHEALTHCHECK NONE\nCOPY a /'),
  row('ONBUILD', 'FROM scratch\nONBUILD COPY a /later\nCOPY a /', {
    differs: { history: 'BuildKit has no entry for ONBUILD' },
  }),
  row('ONBUILD of a stage', 'FROM scratch AS one\nONBUILD COPY b /later\nCOPY a /\nFROM one\nCOPY a /too', {
    differs: { history: 'BuildKit has no entry for ONBUILD' },
  }),
  row('MAINTAINER', 'FROM scratch\nMAINTAINER some one\nCOPY a /'),
  row('a stage', 'FROM scratch AS one\nCOPY d /d\nFROM scratch\nCOPY --from=one /d/one /'),
  row('a stage by number', 'FROM scratch\nCOPY d /d\nFROM scratch\nCOPY --from=0 /d /e'),
  row('a stage as base', 'FROM scratch AS one\nENV A=1\nCOPY a /\nFROM one\nCOPY b /$A'),
  row('--target', 'FROM scratch AS one\nCOPY a /\nFROM scratch\nCOPY b /', { args: ['--target', 'one'] }),
  row('owners of a stage stay', 'FROM scratch AS one\nCOPY --chown=5:6 d /d\nFROM scratch\nCOPY --from=one /d /d'),
  row('ARG before FROM', 'ARG what=scratch\nFROM $what\nCOPY a /'),
  row('ARG before FROM, used in the stage', 'ARG v=a\nFROM scratch\nARG v\nCOPY $v /x'),
  row('comments and continuations', '# one\nFROM scratch\n# two\nCOPY a \\\n# three\n  b \\\n  /ab/'),
  row('keywords in lower case', 'from scratch\ncopy a /\nenv A=1'),
  row('another escape', '# escape=`\nFROM scratch\nCOPY a `\n  /x'),
  row('RUN', 'FROM base\nRUN echo x >/x && mkdir /y'),
  row('RUN as a list', 'FROM base\nRUN ["/bin/touch", "/a b"]'),
  row('RUN with ARG and ENV', 'FROM base\nARG A=1\nENV B=2\nRUN echo $A $B $HOME >/out'),
  row('RUN as a user', 'FROM base\nRUN mkdir -m 777 /w\nUSER app\nRUN id >/w/out'),
  row('RUN in a WORKDIR', 'FROM base\nWORKDIR /w/x\nRUN pwd >out'),
  row('WORKDIR of a user', 'FROM base\nUSER app\nWORKDIR /new/dir\nRUN pwd'),
  row('RUN removes', 'FROM base\nRUN rm /etc/motd && mv /tmp /tmp2'),
  row('RUN links, modes and fifos', 'FROM base\nRUN cp /etc/motd /1; ln -s 1 /2; chmod 4751 /1; mkfifo /3 || true'),
  row('RUN with another SHELL', 'FROM base\nSHELL ["/bin/sh", "-euc"]\nRUN echo $0 >/out'),
  row('what RUN makes is copied', 'FROM base AS one\nRUN echo made >/made\nFROM scratch\nCOPY --from=one /made /'),
];
