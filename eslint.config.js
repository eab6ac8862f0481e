import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['bin/', 'dist/', 'docs/', 'node_modules/', 'lib/deflate/assembly/', '*.config.js', '.mocharc.cjs'] },
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      // The compiler does that (noUnusedLocals, noUnusedParameters).
      '@typescript-eslint/no-unused-vars': 'off',
      '@typescript-eslint/restrict-template-expressions': 'off',
      '@typescript-eslint/only-throw-error': 'error',
      'max-lines': ['error', { max: 500 }],
    },
  },
  { files: ['test/**'], rules: { '@typescript-eslint/no-unused-expressions': 'off', 'max-lines': 'off' } },
);
