/*
 * Forced in front of every kernel source in the host's unit tests: names that
 * libc has too are renamed, so that the kernel's own functions are tested
 * while libc's stay what the sanitizers expect.
 */
#define memcpy nos_memcpy
#define memmove nos_memmove
#define memset nos_memset
#define memcmp nos_memcmp
#define memchr nos_memchr
#define strlen nos_strlen
#define strnlen nos_strnlen
#define strcmp nos_strcmp
#define strncmp nos_strncmp
#define strchr nos_strchr
#define strrchr nos_strrchr
#define strstr nos_strstr
#define snprintf nos_snprintf
#define vsnprintf nos_vsnprintf
