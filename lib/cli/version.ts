/** Version of imgtool. A test keeps it equal to package.json's; reading that file would cost a system call at every start. */
export const VERSION = '0.2.0';
