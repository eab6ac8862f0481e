/** Version of imgtool; a test holds it equal to package.json's (reading that file would cost every start a system call). */
export const VERSION = '0.2.0';
