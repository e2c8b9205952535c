/* SPDX-License-Identifier: ISC */
/* job-client SOCKET JOB < message-file: hands one job in, prints the answers.
 * Standard input must be a file: it is the descriptor that is passed.  Ends with 0,
 * 69 where the job or a recipient failed, or 75 to try again. */
#include <sys/socket.h>
#include <sys/un.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
main(int argc, char **argv)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct sockaddr_un un = { AF_UNIX, "" };
	struct iovec job = { argv[argc - 1], strlen(argv[argc - 1]) };
	struct msghdr packet = { NULL, 0, &job, 1, &control, sizeof(control.room), 0 };
	static char answer[65536 + 1];
	int s = socket(AF_UNIX, SOCK_SEQPACKET, 0), fd = 0, status = 0;
	const char *code;
	ssize_t n = -1;

	if (argc != 3 || strlen(argv[1]) >= sizeof(un.sun_path))
		return 64;
	strcpy(un.sun_path, argv[1]);
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	if (connect(s, (struct sockaddr *)&un, sizeof(un)) == 0 &&
	    sendmsg(s, &packet, 0) != -1)
		while ((n = recv(s, answer, sizeof(answer) - 1, 0)) > 0) {
			answer[n] = '\0';
			printf("%s\n", answer);
			code = strstr(answer, "\"code\":");
			if (strstr(answer, "\"status\":\"refused\"") != NULL)
				return code != NULL && atoi(code + 7) < 500 ? 75 : 69;
			if (strstr(answer, "\"status\":\"failed\"") != NULL)
				status = 69;
			if (strstr(argv[2], "\"wait\"") == NULL ||
			    strstr(answer, "\"done\":true") != NULL)
				return status;
		}
	perror("job-client");
	return 75;
}
